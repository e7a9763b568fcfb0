//! `compose check`: reports at once everything that can be checked without running a stage.

use std::path::PathBuf;

use osier::compose::check::{Findings, Severity};
use osier::compose::stages;
use osier::process::Interrupt;
use osier::process::log::printable_lines;
use osier::progress::Silent;

use super::super::context::Context;
use super::super::error::Failure;
use super::super::options::path;
use super::{no_arguments, read_config, surroundings};

/// The options of `compose check`.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Configuration file
    #[arg(long, value_name = "FILE", value_parser = path())]
    config: Option<PathBuf>,
    /// Print JSON: an object with errors, warnings, programs, signers and deltas
    #[arg(long)]
    json: bool,
    arguments: Vec<String>,
}

pub(in super::super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { config, json, arguments } = args;
    no_arguments(&arguments)?;
    let findings = match read_config(config.as_deref()) {
        Ok((config, problem)) => {
            let mut findings = Findings::default();
            problem.into_iter().for_each(|problem| findings.error(problem.chain()));
            if let Some(config) = config {
                let others = stages::check(&config, &surroundings(Interrupt::default(), &Silent)?);
                findings.list.extend(others.list);
                findings.programs = others.programs;
                findings.signers = others.signers;
                findings.deltas = others.deltas;
            }
            findings
        }
        Err(Failure::Error(error)) if json => {
            let mut findings = Findings::default();
            findings.error(error.chain());
            findings
        }
        Err(failure) => return Err(failure),
    };
    if json {
        writeln!(context.out, "{:#}", findings.to_json())?;
    } else {
        for (name, found) in &findings.programs {
            writeln!(
                context.out,
                "{name} {}: {}",
                printable_lines(&found.version),
                found.path.display()
            )?;
        }
        for signer in &findings.signers {
            writeln!(context.out, "signs with {signer}")?;
        }
        for source in &findings.deltas {
            writeln!(context.out, "makes a static delta from {source}")?;
        }
        for finding in &findings.list {
            let label = if finding.severity == Severity::Error { "error" } else { "warning" };
            writeln!(context.out, "{label}: {}", printable_lines(&finding.message))?;
        }
    }
    match findings.messages(Severity::Error).count() {
        0 => Ok(()),
        1 => Err(Failure::failed("there is a problem")),
        count => Err(Failure::failed(format!("there are {count} problems"))),
    }
}
