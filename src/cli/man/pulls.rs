//! Man pages of the commands that ask servers.

use super::pages::{DEFLATE, FILES_OF_REPO, OF_REPO, Page};
use super::remotes::REMOTE_FILES;

/// Proxies, as curl reads them.
const PROXIES: (&str, &str) = (
    "http_proxy, https_proxy, all_proxy, no_proxy",
    "Proxies, and the hosts that are reached without; the remote's own key proxy comes first.",
);

/// The pages.
pub(super) const PAGES: &[Page] = &[
    Page {
        command: "pull",
        details: "Gets commits with all that they reach from a remote: the refs, REF@COMMIT for a \
            commit that the ref is set to, or commits by their checksums; without any the \
            remote's branches. Every object is verified, and signatures as the remote's \
            configuration demands. What was verified stays when a pull ends early, and the next \
            one goes on from there. Failed requests are repeated.",
        examples: &[
            ("Get a ref:", "osier --repo=repo pull origin exampleos/22/x86_64/host"),
            ("Mirror everything:", "osier --repo=mirror pull --mirror origin"),
            (
                "Only a part of the tree:",
                "osier --repo=repo pull --subpath=/etc/os-release origin \
                 exampleos/22/x86_64/host",
            ),
            (
                "See what would come:",
                "osier --repo=repo pull --dry-run origin exampleos/22/x86_64/host",
            ),
        ],
        environment: &[OF_REPO[0], OF_REPO[1], PROXIES, DEFLATE],
        files: FILES_OF_REPO,
        see_also: &["pull-local", "remote-add", "remote-refs", "static-delta"],
    },
    Page {
        command: "remote refs",
        details: "Lists the refs in the summary of a remote.",
        examples: &[("With their commits:", "osier remote refs --repo=repo --revision origin")],
        environment: &[OF_REPO[0], OF_REPO[1], PROXIES],
        files: REMOTE_FILES,
        see_also: &["remote-summary", "pull"],
    },
    Page {
        command: "remote summary",
        details: "Prints the summary of a remote. Where signatures of it are demanded they are \
            verified first.",
        examples: &[
            ("Print it:", "osier remote summary --repo=repo origin"),
            ("As JSON:", "osier remote summary --repo=repo --json origin"),
        ],
        environment: &[OF_REPO[0], OF_REPO[1], PROXIES],
        files: REMOTE_FILES,
        see_also: &["remote-refs", "summary"],
    },
];
