//! What can be typed: the commands, their options, and examples in their help.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// A data lake in one binary: lands, cleans, checks, releases and queries tables.
#[derive(Debug, Parser)]
#[command(
    name = "laguna",
    version,
    about = "A data lake in one binary: lands, cleans, checks, releases and queries tables",
    after_help = "Examples:\n  laguna init shop            a working project with sample data\n  laguna run                  land, build, check and release what changed\n  laguna query \"SELECT * FROM enhanced.sales_daily LIMIT 5\"\n  laguna history              what was released, newest first\n\nExit codes: 0 done, 1 a check or task failed, 2 the command or project is wrong, 3 storage or another system failed, 130 interrupted."
)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Project folder; default the nearest folder upwards that holds laguna.yml.
    #[arg(long, global = true, value_name = "DIR", env = "LAGUNA_PROJECT")]
    pub project: Option<PathBuf>,
    /// One JSON object a line on standard output; the last one is the outcome.
    #[arg(long, global = true)]
    pub json: bool,
    /// Nothing but results and errors.
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// More log lines on standard error; twice for more still.
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Sets a variable of the project for this command; wins over `vars:`.
    #[arg(long = "var", global = true, value_name = "NAME=VALUE")]
    pub vars: Vec<String>,
}

/// The commands. A command appears here when it works.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Writes a small working project with its data.
    Init(InitArgs),
    /// Lands, builds, checks and releases what changed, in dependency order.
    Run(RunArgs),
    /// Answers a SQL query, without a server; without SQL it opens a shell.
    Query(QueryArgs),
    /// Opens the lake to people and tools: Postgres wire, Flight SQL, HTTP and pages; runs the schedule.
    Serve(ServeArgs),
    /// Lists releases, newest first.
    History(HistoryArgs),
    /// Compares two releases: schema, row counts, keys.
    Diff(DiffArgs),
    /// Publishes the state of an earlier release again.
    Rollback(RollbackArgs),
    /// Lands rows that were set aside, after the rule, the settings or the row was mended.
    Replay(ReplayArgs),
    /// Removes rows of a raw table from every version and table that holds them.
    Forget(ForgetArgs),
    /// Joins small files, drops old releases, deletes what nobody needs.
    Maintain(MaintainArgs),
    /// Checks released tables, or files of any pipeline, against a suite of expectations.
    Check(Box<CheckArgs>),
    /// Checks the whole project without running it.
    Validate(ValidateArgs),
    /// Prints the completion script of a shell.
    Completions(CompletionsArgs),
}

/// `laguna init`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  laguna init shop && cd shop && laguna run")]
pub struct InitArgs {
    /// Folder to write into; it must be empty (but for .git) or not exist.
    #[arg(default_value = "laguna-shop")]
    pub dir: PathBuf,
}

/// `laguna run`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  laguna run                              everything that changed\n  laguna run +enhanced.carrier_daily      a table and all that it needs\n  laguna run tag:daily --exclude raw      by tag, without landing\n  laguna run state:modified+              what changed since the last release, and what hangs on it\n  laguna run --dry-run                    what would run, and why\n  laguna run --as-of 2026-11-01           build again from the rows of then, and compare"
)]
pub struct RunArgs {
    /// Nodes in dbt's words: name, +name, name+, tag:x, path:x, tier, state:modified; commas intersect.
    #[arg(value_name = "SELECT")]
    pub select: Vec<String>,
    /// Nodes to leave out, in the same words.
    #[arg(long, value_name = "SELECT")]
    pub exclude: Vec<String>,
    /// Builds even what has not changed, and incremental tables whole.
    #[arg(long)]
    pub full: bool,
    /// Says what would run and why, and does nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Rebuilds from the raw rows up to this moment and compares with what was released; publishes nothing.
    #[arg(long, value_name = "TIME", conflicts_with_all = ["full", "dry_run"])]
    pub as_of: Option<String>,
    /// With --as-of: which code builds.
    #[arg(long, value_enum, default_value = "now", requires = "as_of")]
    pub code: CodeOf,
    /// Waits when another run of this lake is going on, instead of refusing.
    #[arg(long)]
    pub wait: bool,
    /// Adds to the outcome how many rows and bytes each node read and wrote, checks included.
    #[arg(long)]
    pub explain: bool,
}

/// Which code `--as-of` builds with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CodeOf {
    /// The project as it is.
    Now,
    /// The project as it was stored with the release of then.
    Then,
}

/// `laguna query`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  laguna query \"SELECT carrier, count(*) FROM sanitized.flights GROUP BY 1 ORDER BY 2 DESC\"\n  laguna query -o csv -f report.sql > report.csv\n  laguna query --as-of 2026-11-01 \"SELECT count(*) FROM raw.flights\"\n  laguna query \"SELECT * FROM enhanced.carrier_daily FOR VERSION AS OF 3\"\n  laguna query                            an interactive shell; \\? lists its commands"
)]
pub struct QueryArgs {
    /// One SELECT (or EXPLAIN, SHOW TABLES, DESCRIBE). Schemas: raw, latest, sanitized, enhanced, quarantine, system, staged.
    pub sql: Option<String>,
    /// Reads the statements from a file; `-` is standard input.
    #[arg(short, long, value_name = "FILE", conflicts_with = "sql")]
    pub file: Option<PathBuf>,
    /// Format of the result; default table, with --json one object a line and the outcome after them.
    #[arg(short, long, value_enum)]
    pub output: Option<OutputFormat>,
    /// Reads the lake as it was at this moment (RFC 3339, or a date in the project's time zone).
    #[arg(long, value_name = "TIME")]
    pub as_of: Option<String>,
    /// Reads the tables of this release.
    #[arg(long, value_name = "N", conflicts_with_all = ["as_of", "run"])]
    pub release: Option<u64>,
    /// Reads what this run has staged, in place of the released tables.
    #[arg(long, value_name = "ID", conflicts_with = "as_of")]
    pub run: Option<String>,
    /// Rows shown at most with `-o table`; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub max_rows: usize,
}

/// Formats of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people.
    Table,
    /// RFC 4180, with a header.
    Csv,
    /// One JSON array of objects.
    Json,
    /// One JSON object a line.
    Ndjson,
    /// Apache Parquet.
    Parquet,
    /// Arrow IPC stream.
    Arrow,
}

/// Formats of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    /// For people.
    Table,
    /// One JSON array of objects.
    Json,
    /// One JSON object a line.
    Ndjson,
}

/// `laguna serve`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  laguna serve                            the doors of `serve:` in laguna.yml, and the project's schedule\n  laguna serve --http 127.0.0.1:0         a free port for HTTP; it is printed\n  laguna serve --postgres false           without the Postgres door\n  psql -h 127.0.0.1 -p 5439 -c 'SELECT * FROM enhanced.sales_daily LIMIT 5'"
)]
pub struct ServeArgs {
    /// Address of the Postgres door, or false; wins over `serve:`.
    #[arg(long, value_name = "ADDRESS")]
    pub postgres: Option<String>,
    /// Address of the Flight SQL door, or false.
    #[arg(long, value_name = "ADDRESS")]
    pub flight: Option<String>,
    /// Address of the HTTP door, or false.
    #[arg(long, value_name = "ADDRESS")]
    pub http: Option<String>,
    /// Reads a password or token from standard input, prints its hash for `users:` of laguna.yml, and serves nothing.
    #[arg(long)]
    pub hash_password: bool,
    /// Serves only; the project's schedules do not run.
    #[arg(long)]
    pub no_schedule: bool,
}

/// `laguna history`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  laguna history\n  laguna history enhanced.carrier_daily --limit 5 -o json"
)]
pub struct HistoryArgs {
    /// Only releases that brought a new version of this table.
    pub table: Option<String>,
    /// Releases at most.
    #[arg(long, short = 'n', default_value_t = 20)]
    pub limit: usize,
    /// Format of the list.
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: ListFormat,
}

/// `laguna diff`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  laguna diff                   the newest release against the one before\n  laguna diff 3 7 enhanced.carrier_daily"
)]
pub struct DiffArgs {
    /// Two release numbers and table names, in any order; default the newest release and the one before it.
    #[arg(value_name = "RELEASE|TABLE")]
    pub what: Vec<String>,
    /// Format of the list.
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: ListFormat,
}

/// `laguna rollback`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  laguna rollback --to 7                           everything as in release 7\n  laguna rollback --to 7 enhanced.carrier_daily    one table"
)]
pub struct RollbackArgs {
    /// Release to go back to.
    #[arg(long, value_name = "N")]
    pub to: u64,
    /// Tables to roll back; default all.
    #[arg(value_name = "TABLE")]
    pub tables: Vec<String>,
    /// Waits when a run of this lake is going on, instead of refusing.
    #[arg(long)]
    pub wait: bool,
}

/// `laguna replay`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  laguna replay --dry-run                  what would land by the settings of today\n  laguna replay raw.flights                rows of one dataset; laguna run then builds on them\n  laguna query -o csv \"SELECT _source['file'] AS _file, _source['row'] AS _row, raw FROM quarantine.raw_flights\" > mended.csv\n  laguna replay raw.flights --with mended.csv    after the texts in it were mended\n  laguna replay sanitized.flights          rows that its checks refused are judged again"
)]
pub struct ReplayArgs {
    /// Datasets and models; default every dataset with rows aside.
    #[arg(value_name = "TABLE")]
    pub tables: Vec<String>,
    /// Mended rows of one dataset: a file with the columns `_file`, `_row` and `raw`.
    #[arg(long, value_name = "FILE")]
    pub with: Option<PathBuf>,
    /// Says what would land, and changes nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Waits when a run of this lake is going on, instead of refusing.
    #[arg(long)]
    pub wait: bool,
}

/// `laguna forget`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  laguna forget --table raw.people --where \"email = 'a@b.c'\" --dry-run     what would go, and from where\n  laguna forget --table raw.people --where \"id = 7\" --reason \"request 12\"\n  laguna query \"SELECT * FROM system.erasures\"                            the receipts"
)]
pub struct ForgetArgs {
    /// The raw table; what is made of it follows.
    #[arg(long, value_name = "TABLE")]
    pub table: String,
    /// Which rows: a condition over the columns of the raw table.
    #[arg(long = "where", value_name = "CONDITION")]
    pub condition: String,
    /// Why; kept in the receipt, so it should name nobody.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Says what would go, and changes nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Waits when a run of this lake is going on, instead of refusing.
    #[arg(long)]
    pub wait: bool,
}

/// `laguna maintain`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  laguna maintain --dry-run         what would be joined and deleted, and the bytes won\n  laguna maintain                   the whole lake, as `maintain:` in laguna.yml says\n  laguna maintain raw --wait        the tables of one tier, when the run that is going on has ended"
)]
pub struct MaintainArgs {
    /// Nodes in dbt's words; default the whole lake. With a selection no release is dropped.
    #[arg(value_name = "SELECT")]
    pub select: Vec<String>,
    /// Says what would be done, and does nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Waits when a run of this lake is going on, instead of refusing.
    #[arg(long)]
    pub wait: bool,
}

/// `laguna check`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  laguna check                                              the checks of all released tables\n  laguna check enhanced.carrier_daily --explain             one table, and how each check was answered\n  laguna check sanitized.flights --suite checks/s.json --as-of 2026-11-01\n  laguna check data.parquet 'more/*.csv' --suite suite.json no project: files of any pipeline\n  laguna check data.csv --suite suite.json --param max_delay=600 -o ge --result-format COMPLETE\n  laguna check -o junit > checks.xml                        for a build server; -o html for people\n  laguna check --backtest 90d --suite checks/s.json sanitized.flights   when would it have failed?\n  laguna check --suggest sanitized.flights                  checks that it passes, with reasons\n\nExit codes: 0 passed, 1 a check failed that matters as much as --fail-on says, 2 the suite, a file or the project is wrong."
)]
pub struct CheckArgs {
    /// Tables in dbt's words; or files and patterns of files (CSV, NDJSON, JSON, Parquet, Avro; gzip, zstd), with --suite.
    #[arg(value_name = "SELECT|FILE")]
    pub what: Vec<String>,
    /// A suite of Great Expectations (1.x or 0.x JSON), in place of the checks in the tables' settings.
    #[arg(long, value_name = "FILE")]
    pub suite: Option<PathBuf>,
    /// A value for a parameter of the suite; texts that are no JSON stand for themselves.
    #[arg(long = "param", value_name = "NAME=JSON")]
    pub params: Vec<String>,
    /// Checks the tables as they were at this moment.
    #[arg(long, value_name = "TIME", conflicts_with = "release")]
    pub as_of: Option<String>,
    /// Checks the tables of this release.
    #[arg(long, value_name = "N")]
    pub release: Option<u64>,
    /// Judges the releases of this time, such as 90d, instead of the newest: when would the checks have failed?
    #[arg(long, value_name = "DURATION", conflicts_with_all = ["as_of", "release", "suggest"])]
    pub backtest: Option<String>,
    /// Writes a suite that the table or file passes: YAML for a table, with -o ge a suite of Great Expectations.
    #[arg(long, conflicts_with = "suite")]
    pub suggest: bool,
    /// The least severity whose failures end the command with code 1.
    #[arg(long, value_enum, default_value = "critical")]
    pub fail_on: Severity,
    /// Says how each check was answered, and the bytes read.
    #[arg(long)]
    pub explain: bool,
    /// Failing rows of each check that are looked for and shown, at most.
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub rows: usize,
    /// Format of the report.
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: ReportFormat,
    /// With -o ge: how much is told of each expectation.
    #[arg(long, value_enum, default_value = "SUMMARY", ignore_case = true)]
    pub result_format: Told,
}

/// How much a failing check matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Severity {
    /// It blocks.
    Critical,
    /// It is reported.
    Warning,
    /// It is recorded.
    Info,
}

/// Formats of a report of checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// For people.
    Table,
    /// One JSON object.
    Json,
    /// The validation result of Great Expectations.
    Ge,
    /// JUnit XML, for build servers.
    Junit,
    /// One page that stands alone.
    Html,
}

/// Great Expectations' result formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Told {
    /// Whether it holds.
    #[value(name = "BOOLEAN_ONLY")]
    BooleanOnly,
    /// Counts, and the first failing values.
    #[value(name = "BASIC")]
    Basic,
    /// And how often these stand there.
    #[value(name = "SUMMARY")]
    Summary,
    /// All failing values and their rows.
    #[value(name = "COMPLETE")]
    Complete,
}

/// `laguna validate`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  laguna validate\n  laguna validate --project examples/flights --json")]
pub struct ValidateArgs {}

/// `laguna completions`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  laguna completions bash > ~/.local/share/bash-completion/completions/laguna"
)]
pub struct CompletionsArgs {
    /// The shell.
    pub shell: clap_complete::Shell,
}
