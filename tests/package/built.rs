//! The package, made once by `scripts/package.sh`, and the next version of it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::{machine, real};

const REPO: &str = env!("CARGO_MANIFEST_DIR");
/// The version of the package, and the next one.
pub(crate) const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "-1");
pub(crate) const NEXT: &str = "99.0.0-1";
/// What the next version has in its configuration.
pub(crate) const NEW_SETTING: &str = "# new in this version";

/// A clone, and packages of it.
pub(crate) struct Built {
    dir: tempfile::TempDir,
}

impl Built {
    /// Makes them; nothing, aloud, where that cannot be done.
    pub(crate) fn make() -> Option<Self> {
        for program in ["cargo-deb", "dpkg-deb", "dpkg-shlibdeps", "lintian", "xz"] {
            real::program(program)?;
        }
        let built = Self { dir: tempfile::Builder::new().prefix("aw-package-").tempdir_in("/tmp").unwrap() };
        fs::create_dir(built.clone()).unwrap();
        machine::clone_into(&built.clone());
        let mut package = Command::new(format!("{REPO}/scripts/package.sh"));
        package.arg(built.packages().join("1")).env("CARGO_TARGET_DIR", built.dir.path().join("target"));
        package.env("PROGRAMS", built.clone().join("bin")).env("FAST", "yes");
        let printed = told(&mut package);
        let first = PathBuf::from(printed.lines().last().unwrap());
        assert_eq!(first, built.first(), "{printed}");
        built.make_next(&first);
        Some(built)
    }

    /// A higher version, with another configuration file; its programs are the same.
    fn make_next(&self, first: &Path) {
        let (tree, dir) = (self.dir.path().join("next"), self.packages().join("2"));
        fs::create_dir(&dir).unwrap();
        told(Command::new("dpkg-deb").arg("-R").arg(first).arg(&tree));
        let change = |file: &str, how: &dyn Fn(String) -> String| {
            let path = tree.join(file);
            fs::write(&path, how(fs::read_to_string(&path).unwrap())).unwrap();
        };
        change("DEBIAN/control", &|text| {
            text.replace(&format!("Version: {VERSION}"), &format!("Version: {NEXT}"))
        });
        change("etc/agent-worker/config.toml", &|text| format!("{text}{NEW_SETTING}\n"));
        let next = dir.join(first.file_name().unwrap().to_str().unwrap().replace(VERSION, NEXT));
        told(
            Command::new("dpkg-deb").args(["-Zgzip", "-z1", "--root-owner-group", "-b"]).arg(&tree).arg(next),
        );
        fs::remove_dir_all(tree).unwrap();
    }

    /// Where the packages are, each version in a folder.
    pub(crate) fn packages(&self) -> PathBuf {
        self.dir.path().join("packages")
    }

    /// A clone with programs in `bin`.
    pub(crate) fn clone(&self) -> PathBuf {
        self.dir.path().join("clone")
    }

    /// The stand-in agent.
    pub(crate) fn claude(&self) -> PathBuf {
        self.clone().join("bin/claude")
    }

    fn first(&self) -> PathBuf {
        let arch = told(Command::new("dpkg").arg("--print-architecture"));
        self.packages().join(format!("1/agent-worker_{VERSION}_{}.deb", arch.trim()))
    }

    /// Debian's own checker has nothing to say but what stands, with its reason, in debian/lintian-overrides.
    pub(crate) fn is_clean(&self) {
        let mut lintian = Command::new("lintian");
        lintian.args(["--allow-root", "--fail-on", "error,warning"]).arg(self.first());
        told(&mut lintian);
    }

    /// There is one list of files: the package has what `scripts/install.sh` would put below /usr.
    pub(crate) fn is_what_the_script_installs(&self) {
        let tree = self.dir.path().join("tree");
        let mut install = Command::new(self.clone().join("scripts/install.sh"));
        install.arg("--programs").arg(self.clone().join("bin")).env("PREFIX", "/usr").env("DESTDIR", &tree);
        told(&mut install);
        let files = told(Command::new("find").current_dir(&tree).args([".", "-type", "f"]));
        let script: BTreeSet<String> = files.lines().map(str::to_owned).collect();
        let listed = told(Command::new("dpkg-deb").arg("-c").arg(self.first()));
        let package = listed.lines().filter(|line| line.starts_with('-')).filter_map(|line| {
            let path = line.split_whitespace().nth(5)?;
            Some(path.replace("zsh/vendor-completions", "zsh/site-functions"))
        });
        let package: BTreeSet<String> = package.collect();
        assert!(package.len() > 60, "{package:?}");
        // What only a package has, and what stands in for dpkg's own list.
        let apart: Vec<&String> = package.symmetric_difference(&script).collect();
        assert_eq!(
            apart,
            [
                "./usr/share/agent-worker/files",
                "./usr/share/doc/agent-worker/changelog.Debian.gz",
                "./usr/share/doc/agent-worker/copyright",
                "./usr/share/lintian/overrides/agent-worker",
            ]
        );
        let unit =
            fs::read_to_string(tree.join("usr/lib/systemd/system/agent-worker-marie.service")).unwrap();
        assert!(unit.contains("ExecStart=/usr/bin/watcher"), "{unit}");
    }
}

/// What a command printed; it must succeed.
pub(crate) fn told(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}: {status}\n{out}{err}");
    out.into_owned()
}
