//! The host on which it all happens: images made of the programs that cargo built, and the project's own compose file.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Instant;

use nix::sys::resource::{Resource, getrlimit};
use serde_json::Value;

use crate::WORKERS;
use crate::docker::{BASE, DockerHost};
use crate::promises::Host;
use crate::real;
use crate::world::{World, json};

const REPO: &str = env!("CARGO_MANIFEST_DIR");
/// Who works in the containers.
const UID: u32 = 10001;

/// A host with images, and a world at its `/shared`.
pub(crate) struct Stage {
    // Ends before the world goes.
    pub(crate) host: DockerHost,
    pub(crate) world: World,
}

impl Stage {
    /// The host with its images; `None`, aloud, where none can be had.
    pub(crate) fn set() -> Option<Self> {
        real::program("docker-compose")?;
        let mut world = World::new();
        let host = DockerHost::start(world.path())?;
        if !host.import_base() {
            return None;
        }
        world.uid = Some(UID);
        for (folder, mode) in [(world.root(), 0o2770), (world.logs(), 0o2770), (world.home(), 0o750)] {
            nix::unistd::chown(&folder, Some(UID.into()), Some(UID.into())).unwrap();
            fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
        }
        let stage = Self { host, world };
        stage.scene("images", Self::build);
        Some(stage)
    }

    /// Plays a scene, and says how long it took.
    #[expect(clippy::print_stdout, reason = "where a long test is, is told to whoever runs it")]
    pub(crate) fn scene(&self, name: &str, play: impl FnOnce(&Self)) {
        println!("scene: {name}");
        let began = Instant::now();
        play(self);
        println!("scene: {name}: {:.1} s", began.elapsed().as_secs_f32());
    }

    /// `docker build`, as docs/docker.md has it for programs that are built already.
    fn build(&self) {
        let context = self.world.path().join("context");
        fs::create_dir_all(context.join("dist")).unwrap();
        for name in ["Dockerfile", ".dockerignore", "docker"] {
            let copied = std::process::Command::new("cp")
                .arg("-r")
                .arg(format!("{REPO}/{name}"))
                .arg(&context)
                .status();
            assert!(copied.unwrap().success());
        }
        for name in ["watcher", "supervisor", "agentctl"] {
            compress(&self.world.program(name), &context.join("dist").join(name));
        }
        // The real CLI where there is one: it is not asked to work, it is asked for by name.
        let cli = real::claude().map(|it| it.canonicalize().unwrap()).filter(|it| is_program(it));
        place(&cli.unwrap_or_else(|| self.world.program("fake-claude")), &context.join("dist/claude"));
        let build = |tag: &str, arguments: &str| {
            self.shell(&format!(
                "cd {} && DOCKER_BUILDKIT=0 docker build -q --target prebuilt --build-arg BASE={BASE} {arguments} -t {tag} .",
                context.display()
            ));
        };
        build("agent-worker", "");
        for (worker, port) in WORKERS {
            let arguments =
                format!("--build-arg WORKER_NAME={worker} --build-arg METRICS_ADDR=0.0.0.0:{port}");
            build(&format!("agent-worker:{worker}"), &arguments);
        }
        fs::remove_dir_all(context).unwrap();
    }

    /// `docker-compose up -d` with the project's file and one of this host beside it, which brings the stand-in agent.
    pub(crate) fn up(&self) {
        let project = self.project();
        fs::create_dir_all(&project).unwrap();
        fs::copy(format!("{REPO}/docker-compose.yml"), project.join("docker-compose.yml")).unwrap();
        let own = |(worker, _): (&str, u16)| {
            let [agent, config] = self.given().map(|it| format!("'{it}'"));
            format!(
                "  {worker}:\n    environment: {{ CLAUDE_BIN: /opt/agent }}\n    volumes: [{agent}, {config}]\n{}",
                limits()
            )
        };
        let services: String = WORKERS.into_iter().map(own).collect();
        let own = format!("services:\n  supervisor: {{}}\n{services}");
        fs::write(project.join("docker-compose.override.yml"), own).unwrap();
        self.compose("up -d");
        for (worker, _) in WORKERS {
            self.beating_anew(worker, 0);
        }
        self.within("the supervisor acts", || {
            json(&self.world.root().join("locks/supervisor.lock")).map(drop)
        });
    }

    /// What a container of ours is given besides: the stand-in agent, and leave to start more of them in a minute than an
    /// account would like. As `docker run --volume` has it.
    pub(crate) fn given(&self) -> [String; 2] {
        let config = self.world.path().join("config.toml");
        fs::write(&config, "api_requests_per_minute = 0\n").unwrap();
        let agent = self.world.program("fake-claude");
        [
            format!("{}:/opt/agent:ro", agent.display()),
            format!("{}:/etc/agent-worker/config.toml:ro", config.display()),
        ]
    }

    /// Everybody stops by himself, in time.
    pub(crate) fn down(&self) {
        self.compose("stop");
        for name in ["marie", "anga", "fabien", "supervisor"] {
            assert_eq!(self.inspect(name, ".State.ExitCode"), "0", "{}", self.logs(name));
        }
        self.compose("down --volumes");
        assert_eq!(self.host.told(&["ps", "-aq"]), "", "nothing is left");
    }

    fn project(&self) -> PathBuf {
        self.world.path().join("agents")
    }

    /// `docker-compose` in the project.
    pub(crate) fn compose(&self, arguments: &str) -> String {
        let home = self.world.home();
        let (project, home) = (self.project(), home.display());
        self.shell(&format!("cd {} && AGENT_HOME={home} docker-compose {arguments} 2>&1", project.display()))
    }

    /// Types a line that has to go well; what came on stdout.
    pub(crate) fn shell(&self, line: &str) -> String {
        let output = self.host.shell(line);
        assert!(output.status.success(), "{line}\n{}\n{}", both(&output), self.world.said());
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Types a block in which something may fail; everything it printed.
    pub(crate) fn block(&self, block: &str) -> String {
        // From a file: among the processes that it lists, its own text is not to be found.
        let script = self.world.path().join("block.sh");
        fs::write(&script, block).unwrap();
        both(&self.host.within("bash").arg(script).output().unwrap())
    }

    /// Types a line in a container; whether it went well, and what it printed.
    pub(crate) fn typed_in(&self, container: &str, line: &str) -> (bool, String) {
        let output = self.host.docker(&["exec", container, "sh", "-c", line]);
        (output.status.success(), both(&output))
    }

    /// One field of `docker inspect`.
    pub(crate) fn inspect(&self, name: &str, field: &str) -> String {
        self.host.told(&["inspect", "-f", &format!("{{{{{field}}}}}"), name])
    }

    /// Everything that a container printed.
    pub(crate) fn logs(&self, name: &str) -> String {
        both(&self.host.docker(&["logs", name]))
    }

    /// The heartbeat of a worker.
    pub(crate) fn beat(&self, worker: &str) -> Option<Value> {
        json(&self.world.root().join(format!("workers/{worker}/heartbeat.json")))
    }

    /// When its last heartbeat was, on the boot clock.
    pub(crate) fn last_beat(&self, worker: &str) -> u64 {
        self.beat(worker).and_then(|it| it["boottime_ns"].as_u64()).unwrap_or(0)
    }

    /// Waits until a watcher of `worker` that began after `since` on the boot clock is at work.
    pub(crate) fn beating_anew(&self, worker: &str, since: u64) {
        self.within(&format!("{worker} is at work"), || {
            let beat = self.beat(worker)?;
            (beat["boottime_ns"].as_u64()? > since && beat["status"] == "running").then_some(())
        });
    }

    /// Waits for a fact.
    pub(crate) fn within<T>(&self, what: &str, fact: impl FnMut() -> Option<T>) -> T {
        self.world.until(what, fact)
    }
}

impl Host for Stage {
    fn root(&self) -> PathBuf {
        self.world.root()
    }

    fn there(&self) -> String {
        "/shared".to_owned()
    }

    fn agents(&self) -> PathBuf {
        self.world.home().join("fake-claude.log")
    }

    /// The operator of a host with Docker: outside of the containers, which see what he writes through their mount.
    fn operator(&self, line: &str) -> String {
        self.shell(line)
    }

    fn inside(&self, line: &str) -> (bool, String) {
        self.typed_in("marie", line)
    }

    fn until<T>(&self, what: &str, fact: impl FnMut() -> Option<T>) -> T {
        self.within(what, fact)
    }
}

/// What a program printed, both ways.
pub(crate) fn both(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A program with its line tables compressed, as `scripts/programs.sh` makes them: debuggers have to read those.
fn compress(from: &Path, to: &Path) {
    let mut command = std::process::Command::new("objcopy");
    let status = command.arg("--compress-debug-sections=zlib").arg(from).arg(to).status();
    assert!(status.unwrap().success(), "{command:?}");
}

fn place(from: &Path, to: &Path) {
    if fs::hard_link(from, to).is_err() {
        fs::copy(from, to).unwrap();
    }
}

/// Whether it runs by itself, in any image.
fn is_program(path: &Path) -> bool {
    let mut magic = [0; 4];
    fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok_and(|()| magic == *b"\x7fELF")
}

/// How many descriptors a process here may have at most: a container gets no more.
pub(crate) fn descriptors() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).unwrap().1.min(65536)
}

/// Where this machine allows less than the compose file asks for.
fn limits() -> String {
    let (files, processes) = (descriptors(), getrlimit(Resource::RLIMIT_NPROC).unwrap().1.min(32768));
    format!(
        "    ulimits:\n      nofile: {{ soft: {files}, hard: {files} }}\n      nproc: {{ soft: {processes}, hard: {processes} }}\n"
    )
}
