//! The flags that several programs share. Every value stays text here: [`crate::config`] parses what flags,
//! environment and file said in one and the same way.

use clap::Args;

/// Where the root is and where the settings come from.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Where")]
pub struct PlaceFlags {
    /// The root directory [default: that of the configuration file, or /shared]
    #[arg(long, env = "SHARED_ROOT", value_name = "DIR", hide_env_values = true)]
    pub root: Option<String>,
    /// A configuration file (TOML; keys are the long flags with underscores), or `none` [default:
    /// `$AGENT_WORKER_CONFIG`, or /etc/agent-worker/config.toml where it is there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<String>,
    /// Show every setting and where it came from, and exit
    #[arg(long)]
    pub print_config: bool,
}

/// The log.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Log")]
pub struct LogFlags {
    /// Where WORKER.log is written [default: /var/log/agents]
    #[arg(long, env = "LOG_DIR", value_name = "DIR", hide_env_values = true)]
    pub log_dir: Option<String>,
    /// error, warn, info, debug or trace [default: info]
    #[arg(long, env = "LOG_LEVEL", value_name = "LEVEL", hide_env_values = true)]
    pub log_level: Option<String>,
    /// pretty, json or bracket [default: pretty at a terminal, else json]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// Beyond so many megabytes WORKER.log is put aside as WORKER.log.1, or `off` [default: 64]
    #[arg(long, value_name = "MB")]
    pub log_max_mb: Option<String>,
    /// How many of those are kept [default: 5]
    #[arg(long, value_name = "N")]
    pub log_keep: Option<String>,
    /// Log the fullest story
    #[arg(long)]
    pub debug: bool,
}

/// Who may use the pipes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Pipes")]
pub struct PipeFlags {
    /// The mode of the pipes for commands; those who may write there may read the events [default: 0620]
    #[arg(long, env = "PIPE_MODE", value_name = "MODE", hide_env_values = true)]
    pub pipe_mode: Option<String>,
    /// Their group [default: that of the folder]
    #[arg(long, env = "PIPE_GROUP", value_name = "GROUP", hide_env_values = true)]
    pub pipe_group: Option<String>,
}

/// How long what is done with is kept.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Retention")]
pub struct RetentionFlags {
    /// How long completed tasks, records of runs, journals and logs are kept: days, or `never` [default: 90]
    #[arg(long, value_name = "DAYS")]
    pub retention_days: Option<String>,
    /// How much of each is kept, the latest first: gigabytes, or `never` [default: 20]
    #[arg(long, value_name = "GB")]
    pub retention_gb: Option<String>,
}

/// How tasks and agents are run; `supervisor up` hands these on to its watchers.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Agents")]
pub struct AgentFlags {
    /// claude, or echo to try things out without a cost [default: claude]
    #[arg(long, value_name = "KIND")]
    pub agent: Option<String>,
    /// The Claude CLI [default: claude in PATH]
    #[arg(long, env = "CLAUDE_BIN", value_name = "PATH", hide_env_values = true)]
    pub claude_bin: Option<String>,
    /// How many tasks run at once [default: 5]
    #[arg(long, env = "WORKER_CONCURRENCY", value_name = "N", hide_env_values = true)]
    pub concurrency: Option<String>,
    /// A directory below which a task's `workdir` may lie; can be repeated [default: none]
    #[arg(long, value_name = "DIR")]
    pub workdir_root: Vec<String>,
    /// The agents' scratch [default: /tmp/WORKER for the root /shared, else below the root]
    #[arg(long, value_name = "DIR")]
    pub scratch_dir: Option<String>,
    /// A variable that agents inherit on top of the built-in list; can be repeated
    #[arg(long, value_name = "NAME")]
    pub agent_env: Vec<String>,
}

/// What is enough, and what is too much.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitFlags {
    /// How long agents may take to stop before they are killed [default: 10s]
    #[arg(long, value_name = "TIME")]
    pub grace: Option<String>,
    /// The wall-clock limit of one attempt [default: 30m]
    #[arg(long, env = "AGENT_TIMEOUT", value_name = "TIME", hide_env_values = true)]
    pub agent_timeout: Option<String>,
    /// How long an agent may be silent [default: 10m]
    #[arg(long, env = "AGENT_IDLE_TIMEOUT", value_name = "TIME", hide_env_values = true)]
    pub idle_timeout: Option<String>,
    /// Without a sign of progress for so long, a task is reported as stuck [default: 5m]
    #[arg(long, env = "QUEUE_VISIBILITY_TIMEOUT", value_name = "TIME", hide_env_values = true)]
    pub visibility_timeout: Option<String>,
    /// How much an agent may print in one attempt, both streams together [default: 256MiB]
    #[arg(long, value_name = "SIZE")]
    pub max_output: Option<String>,
    /// How much memory an agent may use with all that it starts, or `none` [default: none]
    #[arg(long, value_name = "SIZE")]
    pub agent_memory: Option<String>,
    /// Where each run gets a control group of its own: below the worker's own where that is delegated to it (`auto`), in
    /// this one, or nowhere (`none`) [default: auto]
    #[arg(long, value_name = "auto|none|DIR")]
    pub cgroup: Option<String>,
    /// Whether agents may write only where their run has to: where the kernel can see to it (`auto`), or else the worker does
    /// not start (`landlock`), or not at all (`none`) [default: auto]
    #[arg(long, value_name = "auto|landlock|none")]
    pub confine: Option<String>,
    /// A further directory below which agents may write; can be repeated [default: none]
    #[arg(long, value_name = "DIR")]
    pub agent_writes: Vec<String>,
    /// How many tasks an agent may hand on to others in one run [default: 20]
    #[arg(long, value_name = "N")]
    pub agent_submits: Option<String>,
    /// How often a task may be handed on, from agent to agent [default: 3]
    #[arg(long, value_name = "N")]
    pub agent_depth: Option<String>,
    /// How many charged failures a task may have and still be tried again [default: 3]
    #[arg(long, env = "MAX_RETRIES", value_name = "N", hide_env_values = true)]
    pub max_retries: Option<String>,
    /// How many agents all workers of one account start in a minute, 0 for as many as they want [default: 50]
    #[arg(long, value_name = "N")]
    pub api_requests_per_minute: Option<String>,
    /// What becomes of a task that meets a rate limit: wait until it is lifted, or fail (E006) [default: wait]
    #[arg(long, value_name = "HOW")]
    pub on_rate_limit: Option<String>,
    /// What the worker may use in an hour and in a day.
    #[command(flatten)]
    pub budget: BudgetFlags,
    /// With less room than this on a disk that is written to, nothing is claimed [default: 64MiB]
    #[arg(long, env = "DISK_RESERVE", value_name = "SIZE", hide_env_values = true)]
    pub reserve: Option<String>,
    /// The same, in files that can still be made [default: 500]
    #[arg(long, value_name = "N")]
    pub reserve_inodes: Option<String>,
    /// With less memory than this, of the machine or of a control group around the worker, nothing is claimed [default: 256MiB]
    #[arg(long, value_name = "SIZE")]
    pub reserve_memory: Option<String>,
    /// full, or none for tests and throw-away roots [default: full]
    #[arg(long, value_name = "HOW")]
    pub durability: Option<String>,
    /// Work on a root that is kept over a network or by FUSE, with weaker promises [default: false]
    #[arg(
        long,
        env = "ALLOW_NFS",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        hide_env_values = true
    )]
    pub allow_nfs: Option<String>,
}

/// What a worker may use before it starts nothing more.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Budgets")]
pub struct BudgetFlags {
    /// Each worker starts nothing more once its runs have cost so many dollars in the last 60 minutes [default: off]
    #[arg(long, env = "BUDGET_USD_PER_HOUR", value_name = "USD", hide_env_values = true)]
    pub budget_usd_per_hour: Option<String>,
    /// The same for the last 24 hours [default: off]
    #[arg(long, env = "BUDGET_USD_PER_DAY", value_name = "USD", hide_env_values = true)]
    pub budget_usd_per_day: Option<String>,
    /// The same in tokens, for the last 60 minutes [default: off]
    #[arg(long, env = "BUDGET_TOKENS_PER_HOUR", value_name = "N", hide_env_values = true)]
    pub budget_tokens_per_hour: Option<String>,
    /// The same in tokens, for the last 24 hours [default: off]
    #[arg(long, env = "BUDGET_TOKENS_PER_DAY", value_name = "N", hide_env_values = true)]
    pub budget_tokens_per_day: Option<String>,
}

/// Where traces go.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Traces")]
pub struct TraceFlags {
    /// otlp or none; otlp needs a program built with it [default: none]
    #[arg(long, env = "OTEL_TRACES_EXPORTER", value_name = "KIND", hide_env_values = true)]
    pub traces_exporter: Option<String>,
    /// Where traces go: gRPC, or HTTP for port 4318 [default: `http://localhost:4317`]
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL", hide_env_values = true)]
    pub otlp_endpoint: Option<String>,
}
