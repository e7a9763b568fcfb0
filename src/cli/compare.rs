//! `compare`: reports whether two repositories are equal. `ostree` has no such command.
//!
//! Its exit status is that of `cmp`: 0 for equal, 1 for different, 2 when that could not be
//! determined.

use std::env;
use std::path::{Path, PathBuf};

use osier::compare::{
    CompareOptions, CompareReport, FieldDifference, Finding, ModeReport, Outcome, Side, Sink,
    Subject, Verdict, WithOptions, compare, compare_with,
};
use osier::error::During as _;
use osier::repo::{OpenOptions, Repo, RepoMode};
use serde_json::{Value, json};

use super::context::{self, Context};
use super::destination::{self, StoreArgs, Target};
use super::error::Failure;
use super::json::List;
use super::options::path;
use super::output::Output;

/// The options of `compare`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Other compressed bytes and another time of the summary are differences, too
    #[arg(long)]
    exact: bool,
    /// Commit TREE with this ostree and with osier, in every mode, and compare
    #[arg(long, value_name = "PATH", value_parser = path())]
    with: Option<PathBuf>,
    /// Where --with makes its repositories (default: /var/tmp)
    #[arg(long, value_name = "DIR", value_parser = path())]
    scratch: Option<PathBuf>,
    /// Print at most N differences and N notes of each comparison, 0 for all (default: 100; with
    /// --json all)
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Print only the verdict
    #[arg(long)]
    summary: bool,
    /// Print a JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArgs,
    #[arg(value_parser = path())]
    arguments: Vec<PathBuf>,
}

pub(super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { exact, with, scratch, limit, summary, json, store, arguments } = args;
    let limit = match (limit, summary) {
        (Some(_), true) => {
            return Err(Failure::usage("--limit and --summary cannot be used together"));
        }
        (None, true) => 0,
        (None, false) if json => u64::MAX,
        (None, false) => DEFAULT_LIMIT,
        (Some(0), false) => u64::MAX,
        (Some(limit), false) => limit,
    };
    let style = Style { json, limit, summary };
    let options = CompareOptions { exact };
    let outcome = match (with, &arguments[..]) {
        (None, [first, second]) if scratch.is_none() => {
            let place: Vec<String> = second.to_str().map(str::to_owned).into_iter().collect();
            let place = place.into_iter().filter(|place| place.contains("://")).collect::<Vec<_>>();
            match destination::target(&place, store, context)? {
                Target::Here => repositories([first, second], &options, style, context)?,
                Target::Directory(path) => repositories([first, &path], &options, style, context)?,
                #[cfg(feature = "s3")]
                Target::Store(_) if exact => {
                    return Err(Failure::usage("--exact is for repositories on this machine"));
                }
                #[cfg(feature = "s3")]
                Target::Store(bucket) => with_store(first, &bucket, style, context)?,
            }
        }
        (None, [_, _]) => return Err(Failure::usage("--scratch is for --with only")),
        (None, _) => return Err(Failure::usage("REPO_A and REPO_B must be specified")),
        (Some(program), [tree]) => {
            let defaults = WithOptions::default();
            let scratch = scratch.unwrap_or_else(|| defaults.scratch.clone());
            let osier = env::current_exe().during("finding", "the running program")?;
            let options = WithOptions {
                program,
                osier,
                tree: tree.clone(),
                scratch,
                compare: options,
                ..defaults
            };
            programs(&options, style, context)?
        }
        (Some(_), _) => return Err(Failure::usage("TREE must be specified")),
    };
    // The verdict is flushed to standard output before the exit.
    context.out.flush()?;
    match outcome {
        Outcome::Equal => Ok(()),
        Outcome::Different => Err(Failure::Status(1)),
        Outcome::Unknown => Err(Failure::Status(2)),
    }
}

fn repositories(
    [first, second]: [&Path; 2],
    options: &CompareOptions,
    style: Style,
    context: &Context,
) -> Result<Outcome, Failure> {
    // Comparing must not create cache directories.
    let open_options = OpenOptions { skip_cache: true, ..context::open_options()? };
    let open =
        |path: &Path| Ok::<_, Failure>(Repo::open_with(&context::absolute(path)?, &open_options)?);
    let (first, second) = (open(first)?, open(second)?);
    print_findings(style, context, |sink| {
        compare(&first, &second, options, sink, &context.quiet_progress())
    })
}

#[cfg(feature = "s3")]
fn with_store(
    repo: &Path,
    bucket: &osier::push::Bucket,
    style: Style,
    context: &Context,
) -> Result<Outcome, Failure> {
    let open_options = OpenOptions { skip_cache: true, ..context::open_options()? };
    let repo = Repo::open_with(&context::absolute(repo)?, &open_options)?;
    print_findings(style, context, |sink| {
        osier::compare::compare_with_store(&repo, bucket, sink, &context.quiet_progress())
    })
}

/// Prints what a comparison of two finds, and its verdict.
fn print_findings(
    style: Style,
    context: &Context,
    compare: impl FnOnce(&mut Sink<'_>) -> osier::Result<CompareReport>,
) -> Result<Outcome, Failure> {
    let out = &context.out;
    let mut printer =
        Printer::begin(out, style, ["the first".to_owned(), "the second".to_owned()])?;
    let report = printer.run(|print| compare(&mut |finding| print(None, &finding)))?;
    if style.json {
        printer.finish(report_fields(&report))?;
    } else {
        printer.print_notes(None)?;
        print_verdict(None, &report, out)?;
    }
    Ok(report.outcome())
}

fn programs(options: &WithOptions, style: Style, context: &Context) -> Result<Outcome, Failure> {
    let out = &context.out;
    let names = [options.program.display().to_string(), "osier".to_owned()];
    let mut printer = Printer::begin(out, style, names)?;
    let display = context.display().without_lines().that_cleans_up(&options.scratch);
    let result = printer.run(|print| {
        compare_with(
            options,
            &mut |mode, finding| print(Some(shown_mode(mode)), &finding),
            &display,
        )
    });
    let reports = display.end(result)?;
    let outcome = overall(&reports);
    if style.json {
        let modes: Vec<Value> = reports.iter().map(mode_json).collect();
        let fields = json!({
            "result": name_of(outcome),
            "program": options.program.display().to_string(),
            "modes": modes,
        });
        printer.finish(fields)?;
        return Ok(outcome);
    }
    for ModeReport { mode, program, osier, report } in &reports {
        let mode = shown_mode(*mode);
        for (name, result) in printer.names.iter().zip([program, osier]) {
            if let Err(words) = result {
                writeln!(out, "{mode}: {name}: {words}")?;
            }
        }
        printer.print_notes(Some(mode))?;
        match report {
            Some(report) => print_verdict(Some(mode), report, out)?,
            None if program.is_err() && osier.is_err() => {
                writeln!(out, "{mode}: could not compare: neither could commit")?
            }
            None => writeln!(out, "{mode}: different: only one could commit")?,
        }
    }
    Ok(outcome)
}

/// A mode as `init --mode` takes it; one of them has another name in the config.
fn shown_mode(mode: RepoMode) -> &'static str {
    match mode {
        RepoMode::Archive => "archive",
        other => other.as_str(),
    }
}

/// The worst of all modes.
fn overall(reports: &[ModeReport]) -> Outcome {
    let has = |wanted| reports.iter().any(|report| report.outcome() == wanted);
    match () {
        () if has(Outcome::Unknown) => Outcome::Unknown,
        () if has(Outcome::Different) => Outcome::Different,
        () => Outcome::Equal,
    }
}

/// The default limit of printed lines.
const DEFAULT_LIMIT: u64 = 100;

/// How results are printed.
#[derive(Clone, Copy)]
struct Style {
    json: bool,
    /// The most differences, and the most notes, printed of each comparison.
    limit: u64,
    /// Only the verdict.
    summary: bool,
}

/// Prints findings as they are made.
struct Printer<'c> {
    out: &'c Output,
    style: Style,
    names: [String; 2],
    list: Option<List<'c>>,
    counts: Vec<Counts>,
}

/// The findings of one comparison.
#[derive(Default)]
struct Counts {
    mode: Option<String>,
    /// The number of lines about differences, and about what could not be compared.
    differences: u64,
    notes: u64,
    /// The number of notes about files that are compressed differently. There may be as many as
    /// there are files, so in text output they are only counted.
    compressed: u64,
    omitted: u64,
}

impl Counts {
    /// How many of the further lines are printed.
    fn take(&mut self, lines: usize, is_note: bool, limit: u64) -> usize {
        let count = if is_note { &mut self.notes } else { &mut self.differences };
        let room = usize::try_from(limit.saturating_sub(*count)).unwrap_or(usize::MAX);
        *count += lines as u64;
        self.omitted += lines.saturating_sub(room) as u64;
        lines.min(room)
    }
}

impl<'c> Printer<'c> {
    fn begin(out: &'c Output, style: Style, names: [String; 2]) -> Result<Self, Failure> {
        let list = if style.json { Some(List::begin(out, &json!({}), "findings")?) } else { None };
        Ok(Self { out, style, names, list, counts: Vec::new() })
    }

    /// Runs a comparison that prints findings. If they cannot be printed, that is the failure.
    fn run<T>(
        &mut self,
        work: impl FnOnce(
            &mut (dyn FnMut(Option<&str>, &Finding) -> osier::Result<()> + Send),
        ) -> osier::Result<T>,
    ) -> Result<T, Failure> {
        let mut failure = None;
        let result = work(&mut |mode, finding| {
            self.print(mode, finding).map_err(|error| {
                failure = Some(error);
                osier::Error::failed("standard output does not take what is written to it")
            })
        });
        match failure {
            Some(failure) => Err(failure),
            None => Ok(result?),
        }
    }

    fn print(&mut self, mode: Option<&str>, finding: &Finding) -> Result<(), Failure> {
        let Finding { subject, verdict } = finding;
        let lines = match verdict {
            Verdict::Different(fields) => fields.len().max(1),
            Verdict::OnlyIn(_) | Verdict::Unknown { .. } | Verdict::Note(_) => 1,
        };
        let (is_note, is_json, limit) =
            (matches!(verdict, Verdict::Note(_)), self.list.is_some(), self.style.limit);
        let counts = self.counts_of(mode);
        if is_note && !is_json && matches!(subject, Subject::Object(_)) {
            counts.compressed += 1;
            return Ok(());
        }
        let shown = counts.take(lines, is_note, limit);
        if shown == 0 {
            return Ok(());
        }
        if let Some(list) = &mut self.list {
            return list.push(&finding_json(mode, finding, shown));
        }
        let prefix = mode.map(|mode| format!("{mode}: ")).unwrap_or_default();
        let name = |side: &Side| match side {
            Side::First => &self.names[0],
            Side::Second => &self.names[1],
        };
        match verdict {
            Verdict::OnlyIn(side) => {
                writeln!(self.out, "{prefix}{subject}: only in {}", name(side))
            }
            Verdict::Different(fields) if fields.is_empty() => {
                writeln!(self.out, "{prefix}{subject}: differs")
            }
            Verdict::Different(fields) => {
                let mut fields = fields.iter().take(shown);
                fields.try_for_each(|field| {
                    writeln!(self.out, "{prefix}{subject}: {}", self.shown(field))
                })
            }
            Verdict::Unknown { side, reason, field } => {
                let field = field
                    .as_ref()
                    .map(|field| format!("; {}", self.shown(field)))
                    .unwrap_or_default();
                writeln!(
                    self.out,
                    "{prefix}{subject}: could not compare: in {}: {reason}{field}",
                    name(side)
                )
            }
            Verdict::Note(field) => {
                writeln!(self.out, "{prefix}note: {subject}: {}", self.shown(field))
            }
        }
    }

    fn counts_of(&mut self, mode: Option<&str>) -> &mut Counts {
        let place = self
            .counts
            .iter()
            .position(|counts| counts.mode.as_deref() == mode)
            .unwrap_or(self.counts.len());
        if place == self.counts.len() {
            self.counts.push(Counts { mode: mode.map(str::to_owned), ..Counts::default() });
        }
        &mut self.counts[place]
    }

    fn shown(&self, FieldDifference { field, first, second }: &FieldDifference) -> String {
        let [one, other] = &self.names;
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
        format!("{field}: {} in {one}, {} in {other}", value(first), value(second))
    }

    /// The findings that are only counted.
    fn print_notes(&self, mode: Option<&str>) -> Result<(), Failure> {
        if self.style.summary {
            return Ok(());
        }
        let prefix = mode.map(|mode| format!("{mode}: ")).unwrap_or_default();
        for Counts { omitted, compressed, .. } in
            self.counts.iter().filter(|counts| counts.mode.as_deref() == mode)
        {
            if *omitted > 0 {
                writeln!(self.out, "{prefix}... and {omitted} more (--limit=0 prints all)")?;
            }
            if *compressed > 0 {
                writeln!(self.out, "{prefix}note: compressed differently: {compressed} files")?;
            }
        }
        Ok(())
    }

    /// Ends the document with these fields.
    fn finish(self, mut fields: Value) -> Result<(), Failure> {
        if self.style.limit < u64::MAX {
            fields["omitted"] = self.counts.iter().map(|counts| counts.omitted).sum::<u64>().into();
        }
        match self.list {
            Some(list) => list.finish(&fields),
            None => Ok(()),
        }
    }
}

fn print_verdict(mode: Option<&str>, report: &CompareReport, out: &Output) -> Result<(), Failure> {
    let CompareReport { objects, refs, differences, unknown, notes: _ } = report;
    let prefix = mode.map(|mode| format!("{mode}: ")).unwrap_or_default();
    let whole = format!("{objects} objects, {refs} refs");
    match report.outcome() {
        Outcome::Equal => writeln!(out, "{prefix}equal: {whole}"),
        Outcome::Different => {
            writeln!(out, "{prefix}different: {whole}, {differences} differences")
        }
        Outcome::Unknown => {
            writeln!(
                out,
                "{prefix}could not compare: {whole}, {differences} differences, {unknown} not \
                 comparable"
            )
        }
    }
}

fn name_of(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Equal => "equal",
        Outcome::Different => "different",
        Outcome::Unknown => "unknown",
    }
}

fn report_fields(report: &CompareReport) -> Value {
    let CompareReport { objects, refs, differences, unknown, notes } = report;
    json!({
        "result": name_of(report.outcome()),
        "objects": objects,
        "refs": refs,
        "differences": differences,
        "unknown": unknown,
        "notes": notes,
    })
}

fn mode_json(report: &ModeReport) -> Value {
    let commit = |result: &Result<String, String>| match result {
        Ok(commit) => json!({ "commit": commit, "error": null }),
        Err(words) => json!({ "commit": null, "error": words }),
    };
    json!({
        "mode": shown_mode(report.mode),
        "result": name_of(report.outcome()),
        "program": commit(&report.program),
        "osier": commit(&report.osier),
        "comparison": report.report.as_ref().map(report_fields),
    })
}

/// With at most this many fields.
fn finding_json(
    mode: Option<&str>,
    Finding { subject, verdict }: &Finding,
    most_fields: usize,
) -> Value {
    let kind = match subject {
        Subject::Ref(_) => "ref",
        Subject::Path { .. } => "path",
        Subject::Summary => "summary",
        Subject::SummarySignature => "summary_signature",
        Subject::Object(_) => "object",
        Subject::Objects(_) => "object_directory",
        Subject::Delta(_) => "static_delta",
    };
    let name = match subject {
        Subject::Delta(name) => name.to_string(),
        Subject::Path { path, .. } => path.clone(),
        subject => subject.to_string(),
    };
    let mut object = json!({ "kind": kind, "name": name });
    if let Subject::Path { name, .. } = subject {
        object["ref"] = name.as_str().into();
    }
    if let Some(mode) = mode {
        object["mode"] = mode.into();
    }
    let side = |side: &Side| match side {
        Side::First => "first",
        Side::Second => "second",
    };
    let fields = |fields: &[FieldDifference]| -> Value {
        let field = |field: &FieldDifference| json!({ "field": field.field, "first": field.first, "second": field.second });
        fields.iter().take(most_fields).map(field).collect()
    };
    match verdict {
        Verdict::OnlyIn(in_side) => {
            object["verdict"] = "only_in".into();
            object["side"] = side(in_side).into();
        }
        Verdict::Different(differences) => {
            object["verdict"] = "different".into();
            object["fields"] = fields(differences);
        }
        Verdict::Unknown { side: in_side, reason, field } => {
            object["verdict"] = "unknown".into();
            object["side"] = side(in_side).into();
            object["reason"] = reason.as_str().into();
            object["fields"] = fields(field.as_slice());
        }
        Verdict::Note(difference) => {
            object["verdict"] = "note".into();
            object["fields"] = fields(std::slice::from_ref(difference));
        }
    }
    object
}
