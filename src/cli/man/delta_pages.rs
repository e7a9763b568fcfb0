//! The pages of `static-delta`.

use super::pages::{FILES_OF_REPO, OF_REPO, Page};

const FILES: &[(&str, &str)] = &[
    FILES_OF_REPO[0],
    FILES_OF_REPO[1],
    ("REPO/deltas/", "Deltas: a directory each, with the superblock and the parts."),
    ("REPO/delta-indexes/", "Indexes: for each commit the deltas that lead to it."),
];

const KEY_FILES: &[(&str, &str)] = &[
    FILES_OF_REPO[0],
    FILES_OF_REPO[1],
    (
        "/etc/ostree/trusted.TYPE, trusted.TYPE.d/",
        "Public keys where no others are given; also in /usr/share/ostree.",
    ),
    ("/etc/ostree/revoked.TYPE, revoked.TYPE.d/", "Those not to be trusted any longer."),
];

/// All of them.
pub(super) const PAGES: &[Page] = &[
    Page {
        command: "static-delta",
        details: "Makes, lists, describes, verifies, applies and deletes static deltas: files that lead \
            from one commit, or from nothing, to another one in few requests. A delta is named by \
            the checksum of the commit that it leads to, or by both with - between them.",
        examples: &[("List the deltas:", "osier static-delta list --repo=repo")],
        environment: OF_REPO,
        files: FILES,
        see_also: &[
            "static-delta-apply-offline",
            "static-delta-delete",
            "static-delta-generate",
            "static-delta-indexes",
            "static-delta-list",
            "static-delta-reindex",
            "static-delta-show",
            "static-delta-verify",
        ],
    },
    Page {
        command: "static-delta apply-offline",
        details: "Brings the objects of a delta into a repository, all or nothing. PATH is the \
            directory of a delta, with its parts, or the file of a superblock, beside which they \
            lie unless they are in it. No ref is written. A signed delta must be signed with one \
            of the keys, given as arguments, in a file or in directories; without any key it is \
            accepted unless core.sign-verify-deltas is true. With that set to required, which \
            ostree does not know, every delta must be signed.",
        examples: &[
            ("Apply a delta:", "osier static-delta apply-offline --repo=repo /media/usb/delta"),
            (
                "Apply it only if it is signed with that key or not at all:",
                "osier static-delta apply-offline --repo=repo --keys-file=release.pub \
                 /media/usb/delta",
            ),
        ],
        environment: OF_REPO,
        files: KEY_FILES,
        see_also: &["static-delta-verify", "static-delta-show"],
    },
    Page {
        command: "static-delta delete",
        details: "Removes a delta from the repository. Index and summary name it until they are \
            made anew.",
        examples: &[(
            "Remove the delta that needs no other commit:",
            "osier static-delta delete --repo=repo $(osier rev-parse --repo=repo main)",
        )],
        environment: OF_REPO,
        files: FILES,
        see_also: &["static-delta-list", "static-delta-reindex"],
    },
    Page {
        command: "static-delta generate",
        details: "Makes a delta to a commit from its parent, or from what --from or --empty say; \
            with --from given more than once, a delta from each. New files are compared with old \
            ones of a similar size and the same name; large files that are like no other one are \
            left out, to be fetched by themselves. Indexes and the summary stay as they are: a \
            client finds the delta after summary -u, and a delta that was made again is refused \
            until then. The delta does not depend on --jobs, and on --memory only if a pair of \
            files needs more: such a file is sent whole. Smaller parts (--max-chunk-size) are \
            compressed at the same time and make a larger delta. On a terminal the last line says \
            what the delta is made of; with --verbose there is a line for each file.",
        examples: &[
            (
                "From the parent, then for the clients to find it:",
                "osier static-delta generate --repo=repo exampleos/22/x86_64/host 2>statistics && \
                 osier summary --repo=repo -u",
            ),
            (
                "From nothing, in one file:",
                "osier static-delta generate --repo=repo --empty --inline --min-fallback-size=0 \
                 --filename=host.delta exampleos/22/x86_64/host 2>statistics",
            ),
            (
                "From each of the last three commits, if that is worth the while:",
                "osier static-delta generate --repo=repo --from-refs=3 --if-smaller=80 --json \
                 exampleos/22/x86_64/host 2>statistics",
            ),
        ],
        environment: &[
            OF_REPO[0],
            OF_REPO[1],
            ("SOURCE_DATE_EPOCH", "The time of the delta, in seconds since 1970."),
            ("OSTREE_DUMMY_SIGN_ENABLED", "With 1 there are dummy signatures, for tests."),
        ],
        files: FILES,
        see_also: &["static-delta-apply-offline", "static-delta-show", "summary"],
    },
    Page {
        command: "static-delta indexes",
        details: "Lists the commits that have an index of deltas.",
        examples: &[("List them:", "osier static-delta indexes --repo=repo")],
        environment: OF_REPO,
        files: FILES,
        see_also: &["static-delta-reindex"],
    },
    Page {
        command: "static-delta list",
        details: "Lists the deltas of the repository.",
        examples: &[("List them:", "osier static-delta list --repo=repo")],
        environment: OF_REPO,
        files: FILES,
        see_also: &["static-delta-show", "static-delta-delete"],
    },
    Page {
        command: "static-delta reindex",
        details: "Makes the indexes match the deltas, and records in the config that there are \
            indexes.",
        examples: &[("Make all indexes:", "osier static-delta reindex --repo=repo")],
        environment: OF_REPO,
        files: FILES,
        see_also: &["static-delta-indexes", "summary"],
    },
    Page {
        command: "static-delta show",
        details: "Describes a delta: of the repository by its name, or in a file by a path with a \
            / in it. Parts are in the superblock, beside its file or in the repository.",
        examples: &[
            ("A file:", "osier static-delta show --repo=repo /media/usb/delta/superblock"),
            (
                "The same for programs:",
                "osier static-delta show --repo=repo --json /media/usb/delta/superblock",
            ),
        ],
        environment: OF_REPO,
        files: FILES,
        see_also: &["static-delta-list", "static-delta-verify"],
    },
    Page {
        command: "static-delta verify",
        details: "Verifies the signatures of a delta, which is named as for show, with public keys \
            in base64, in a file or in directories.",
        examples: &[(
            "Verify a file:",
            "osier static-delta verify --repo=repo --keys-file=release.pub \
             /media/usb/delta/superblock",
        )],
        environment: &[
            OF_REPO[0],
            OF_REPO[1],
            ("OSTREE_DUMMY_SIGN_ENABLED", "With 1 there are dummy signatures, for tests."),
        ],
        files: KEY_FILES,
        see_also: &["static-delta-apply-offline", "sign"],
    },
];
