//! The man page of the command that publishes.

use super::pages::{DEFLATE, FILES_OF_REPO, OF_REPO, Page};

/// The pages.
pub(super) const PAGES: &[Page] = &[Page {
    command: "push",
    details: "Publishes refs of the repository, all of its own if none are given, with \
        everything that their commits reach. DEST is file:///PATH, a directory of this machine; \
        it becomes an archive if there is nothing. The repository here can have any mode. \
        Objects that the refs of DEST say are there are not sent; where they say too little the \
        objects there are listed. Content goes first, then metadata, commits, static deltas, \
        refs, and the summary at last, so a push can be killed at any moment, and the next one \
        goes on where it ended. Refs only move forward, and only if nobody else has moved them \
        meanwhile: any number of builders can push at the same time. The summary is made of the \
        refs that are there; one that is signed is only replaced with a new signature.",
    examples: &[
        ("What would be sent:", "osier push --repo=repo --dry-run file://$PWD/published"),
        ("Publish everything:", "osier push --repo=repo file://$PWD/published"),
        (
            "One ref, with all of its history:",
            "osier push --repo=repo --depth=-1 file://$PWD/published exampleos/22/x86_64/host",
        ),
    ],
    environment: &[OF_REPO[0], OF_REPO[1], DEFLATE],
    files: FILES_OF_REPO,
    see_also: &["pull", "pull-local", "static-delta", "summary"],
}];
