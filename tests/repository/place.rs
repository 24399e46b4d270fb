//! In the directory itself: one run at a time, and its changes told from everybody else's.

use super::*;

#[test]
fn what_a_run_changes_in_place_is_told_from_what_was_there() {
    let world = World::unprivileged();
    let repo = repository(&world, "one");
    let base = git(&world, &repo, &["rev-parse", "HEAD"]);
    // Work of somebody else's, not committed.
    write(&world, &repo.join("a.txt"), "one\ntwo\nmine\n");
    write(&world, &repo.join("notes"), "mine\n");
    let before = objects(&world, &repo);
    let _watcher = up(&world, "marie", &[]);
    let prompt = "fake: write file=new.txt text=new; write file=x.log text=ignored; append file=notes text=theirs; succeed";
    world.submit("marie/pending", "t", &task(prompt, &repo, None));
    let filed = world.filed("marie/completed", "t");
    let changes = &filed["changes"];
    let counts = (&changes["files"], &changes["insertions"], &changes["commits"]);
    assert_eq!(counts, (&json!(2), &json!(2), &json!(0)), "{filed:#}");
    assert_eq!(changes["branch"], "main");
    let text = patch(&world, &filed);
    assert_eq!(files_of(&text), ["new.txt", "notes"], "{text}");
    assert!(!text.contains("+mine"), "{text}");
    let result = result(&world, &filed);
    assert_eq!(result["changes"]["base"], json!(base));
    assert_eq!(result["changes"]["dirty"], 2);
    assert_eq!(result["changes"]["stat"].as_array().unwrap().len(), 2, "{result:#}");
    assert_eq!(objects(&world, &repo), before, "nothing was put into the repository");
    assert_eq!(git(&world, &repo, &["status", "--short"]), " M a.txt\n?? new.txt\n?? notes");
    let said = world.said();
    assert!(said.contains("2 file(s) that are not committed (`a.txt`, `notes`)"), "{said}");
    assert!(said.contains("2 files changed, +2 -0"), "{said}");
    let snapshot = artifacts(&world, &filed).join("snapshot");
    world.until("it is tidied up", || (!snapshot.exists()).then_some(()));
}

#[test]
fn commits_that_the_agent_makes_are_counted_and_the_patch_applies() {
    let world = World::unprivileged();
    let repo = repository(&world, "one");
    fs::write(repo.join("blob"), b"\0\x01binary").unwrap();
    own(&world, &repo.join("blob"));
    git(&world, &repo, &["add", "-A"]);
    git(&world, &repo, &["commit", "-qm", "binary"]);
    let _watcher = up(&world, "marie", &[]);
    let commit = "git -c user.name=a -c user.email=a@b commit -qam 'says more'";
    let more = "run text=printf 'a\\000b' > blob && git mv sub/b.txt c.txt";
    let prompt = format!(
        "fake: append file=a.txt text=more; run text={commit}; append file=a.txt text=left; {more}; succeed"
    );
    world.submit("marie/pending", "t", &task(&prompt, &repo, Some("dir")));
    let filed = world.filed("marie/completed", "t");
    assert_eq!(filed["changes"]["commits"], 1, "{filed:#} {:#?}", world.agent_log());
    let result = result(&world, &filed);
    assert_eq!(result["changes"]["commits"][0]["subject"], "says more");
    let text = patch(&world, &filed);
    assert!(text.contains("more") && text.contains("left"), "{text}");
    let base = result["changes"]["base"].as_str().unwrap().to_owned();
    let clone = clone_at(&world, &repo, &base);
    let path = artifacts(&world, &filed).join("changes.patch");
    git(&world, &clone, &["apply", path.to_str().unwrap()]);
    for file in ["a.txt", "blob", "c.txt"] {
        assert_eq!(fs::read(clone.join(file)).unwrap(), fs::read(repo.join(file)).unwrap(), "{file}");
    }
    assert!(!clone.join("sub/b.txt").exists());
}

#[test]
fn one_run_at_a_time_works_in_a_repository_whoever_takes_the_tasks() {
    let world = World::unprivileged();
    let repo = repository(&world, "one");
    let (open, gate) = (world.path().join("open"), world.path().join("gate"));
    fs::create_dir_all(&open).unwrap();
    fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let _marie = up(&world, "marie", &[]);
    let _anga = up(&world, "anga", &[]);
    // Whoever finds another one inside cannot make the folder.
    let inside = open.join("inside");
    let probe = format!("run text=mkdir {0}; gate={1}; run text=rmdir {0}", inside.display(), gate.display());
    let prompt = format!("fake: {probe}; append file=a.txt text=x; succeed");
    let first = task(&prompt, &repo, None);
    world.submit("marie/pending", "first", &first);
    world.active("marie", "first", |it| it["state"] == "RUNNING");
    world.until("the first is inside", || inside.exists().then_some(()));
    for (worker, name) in [("marie", "second"), ("marie", "third"), ("anga", "fourth")] {
        world.submit(&format!("{worker}/pending"), name, &task(&prompt, &repo.join("sub"), None));
    }
    // What needs no directory goes by.
    world.submit("marie/pending", "free", &json!({"prompt": "fake: succeed"}));
    world.submit("anga/pending", "free2", &json!({"prompt": "fake: succeed"}));
    world.filed("marie/completed", "free");
    world.filed("anga/completed", "free2");
    for name in ["marie/second", "marie/third", "anga/fourth"] {
        let why = world.agentctl(&["why", name, "--json"]);
        let why: Value = serde_json::from_slice(&why.stdout).unwrap();
        let reasons = why["reasons"].to_string();
        assert!(reasons.contains("marie/first works in"), "{name}: {why:#}");
    }
    write(&world, &gate, "");
    for (worker, name) in [("marie", "first"), ("marie", "second"), ("marie", "third"), ("anga", "fourth")] {
        let filed = world.filed(&format!("{worker}/completed"), name);
        assert_eq!(filed["attempts"].as_array().unwrap().len(), 1, "waiting is no attempt: {filed:#}");
        assert_eq!(filed["changes"]["files"], 1, "{filed:#}");
    }
    let log = world.agent_log();
    let ran: Vec<_> = log.iter().filter(|it| it["event"] == "ran").collect();
    assert!(ran.len() == 8 && ran.iter().all(|it| it["code"] == 0), "two at a time: {ran:#?}");
}

#[test]
fn a_directory_without_a_repository_is_worked_in_by_one_at_a_time_too() {
    let world = World::unprivileged();
    let dir = repos(&world).join("plain");
    fs::create_dir_all(&dir).unwrap();
    own(&world, &dir);
    let gate = world.path().join("gate");
    let _watcher = up(&world, "marie", &[]);
    world.submit(
        "marie/pending",
        "one",
        &task(&format!("fake: gate={}; succeed", gate.display()), &dir, None),
    );
    world.active("marie", "one", |it| it["state"] == "RUNNING");
    world.submit("marie/pending", "two", &task("fake: cwd", &dir, None));
    world.submit("marie/pending", "free", &json!({"prompt": "fake: succeed"}));
    world.filed("marie/completed", "free");
    assert_eq!(world.homes("two"), ["marie/pending"]);
    write(&world, &gate, "");
    let filed = world.filed("marie/completed", "two");
    assert_eq!(filed["result"], json!(dir));
    assert_eq!(filed.get("changes"), None);
}

#[test]
fn a_run_that_goes_on_is_compared_with_what_stood_there_at_first() {
    let world = World::unprivileged();
    let repo = repository(&world, "one");
    let _watcher = up(&world, "marie", &["--max-retries", "2"]);
    let prompt = "fake: append file=a.txt text=early; fail error | append file=a.txt text=late; succeed";
    world.submit("marie/pending", "t", &task(prompt, &repo, None));
    let filed = world.filed("marie/completed", "t");
    assert_eq!(filed["attempts"].as_array().unwrap().len(), 2, "{filed:#}");
    let text = patch(&world, &filed);
    assert!(text.contains("+early") && text.contains("+late"), "{text}");
    assert_eq!(filed["changes"].get("note"), None, "{filed:#}");
}

#[test]
fn what_a_repository_has_git_start_writes_nothing_of_the_worker_s() {
    let world = World::unprivileged();
    let repo = repository(&world, "one");
    let watcher = up(&world, "marie", &[]);
    let root = world.root();
    let is_held = sight::state(&world, "marie", |it| it["status"] == "running")["confined"].is_string();
    // An agent leaves it; our own git comes upon it when it looks at what the run changed.
    let filter = repo.join(".git/filter");
    let script = format!(
        "#!/bin/sh\necho x >> {0}/ran\necho '{{}}' > {1}/tasks/forged.json\nmkdir -p {1}/packs/evil\nexec cat\n",
        repo.display(),
        root.display()
    );
    write(&world, &world.home().join("filter"), &script);
    let lay = format!(
        "cp $HOME/filter {0} && chmod +x {0} && git config filter.x.clean {0} && echo '*.txt filter=x' > .gitattributes",
        filter.display()
    );
    let prompt = format!("fake: write file=a.txt text=other; run text={lay}; succeed");
    world.submit("marie/pending", "t", &task(&prompt, &repo, Some("dir")));
    let filed = world.filed("marie/completed", "t");
    assert!(patch(&world, &filed).contains("other"), "{filed:#}");
    assert!(fs::read_to_string(repo.join("ran")).is_ok_and(|it| !it.is_empty()), "it was started");
    if is_held {
        assert!(!root.join("packs/evil").exists() && sight::tasks(&world, "").is_empty());
        assert!(world.homes("forged").is_empty(), "{:?}", world.homes("forged"));
    }
    assert_eq!(watcher.stop(), 0);
}
