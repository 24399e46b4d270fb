//! Disks that the work itself fills up: so small that not all tasks find room, by bytes and by inodes, and without a
//! reserve that would hold the worker before. Whatever has no room any more waits, and goes on when there is some.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::faults::SmallDisk;
use crate::judge::{self, Accepted};
use crate::sight;
use crate::world::World;

/// More than find room.
const TASKS: usize = 60;

/// Lets a worker fill the disk of its root, then makes room: every task is done once.
fn fills_up_by_its_work(world: &World, make_room: impl FnOnce()) {
    let names: Vec<&'static str> = (0..TASKS).map(|n| &*format!("t{n}").leak()).collect();
    let accepted: Vec<_> = names.iter().map(|it| Accepted::in_one(it, &["marie/completed"])).collect();
    let pending = world.root().join("tasks/marie/pending");
    fs::create_dir_all(&pending).unwrap();
    for name in &names {
        fs::write(pending.join(format!("{name}.json")), judge::task("fake: succeed text=done")).unwrap();
    }
    let mut command = world.watcher("marie");
    command.args(["--reserve", "0", "--reserve-inodes", "0"]);
    let watcher = world.start(&mut command, "marie");
    world.until("the disk is full and it says so", || {
        (!sight::logged(world, "marie", "claiming nothing").is_empty()).then_some(())
    });
    world.until("nobody works any more", || {
        let ended = sight::tasks(world, "marie/active").iter().all(|file| {
            let name = file.trim_end_matches(".json");
            sight::events(world, "start", name).len() == sight::events(world, "end", name).len()
        });
        ended.then_some(())
    });
    let done = sight::tasks(world, "marie/completed").len();
    assert!(done < TASKS, "the disk was not full after all");
    make_room();
    world.until_all(TASKS, "tasks are filed", || sight::tasks(world, "marie/completed").len());
    world.at_work("marie", &watcher);
    assert_eq!(watcher.stop(), 0);
    let mut broken = judge::at_rest(world, &accepted);
    // An agent whose answer found no room had not answered, and was resumed.
    broken.retain(|it| !it.contains(" was finished "));
    assert_eq!(broken, [""; 0], "{}", world.said());
}

fn grow(at: &Path) {
    let options = "remount,size=96m,nr_inodes=20000";
    let grown = Command::new("mount").args(["-o", options]).arg(at).status().unwrap();
    assert!(grown.success(), "a disk in memory grows");
}

#[test]
fn a_disk_of_one_mebibyte_that_the_work_fills() {
    let world = World::new();
    let Some(disk) = SmallDisk::tmpfs(world.root(), "size=1m,nr_inodes=20000") else { return };
    fills_up_by_its_work(&world, || grow(disk.at()));
}

#[test]
fn a_disk_of_few_inodes_that_the_work_uses_up() {
    let world = World::new();
    let Some(disk) = SmallDisk::tmpfs(world.root(), "size=96m,nr_inodes=400") else { return };
    fills_up_by_its_work(&world, || grow(disk.at()));
}

#[test]
fn a_small_ext4_that_the_work_fills() {
    let world = World::new();
    let Some(disk) = SmallDisk::ext4(world.root(), 8) else { return };
    let filler = disk.fill();
    let room = world.root().join(".filler");
    let length = fs::metadata(&room).unwrap().len();
    fs::File::options().write(true).open(&room).unwrap().set_len(length - (600 << 10)).unwrap();
    fills_up_by_its_work(&world, || drop(filler));
}
