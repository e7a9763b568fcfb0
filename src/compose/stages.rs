//! Checks all stages before one of them runs.

use super::Surroundings;
use super::check::{Findings, Severity};
use super::config::ComposeConfig;
use super::image;
use super::plan;
use super::preflight::Served;

/// Checks everything that can be checked without running a stage.
pub fn check(config: &ComposeConfig, surroundings: &Surroundings<'_>) -> Findings {
    let mut findings = Findings::default();
    let seen = plan::look(&config.tree, surroundings, Served::Yes, Severity::Error, &mut findings);
    let name = config.tree.ref_name.clone().or(seen.map(|seen| seen.name));
    image::check(config, name.as_ref(), surroundings, &mut findings);
    findings
}
