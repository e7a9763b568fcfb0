//! Man pages of `remote` and its commands, but for those that ask servers.

use super::pages::{OF_REPO, Page};

pub(super) const REMOTE_FILES: &[(&str, &str)] = &[
    ("REPO/config", "Remotes of a repository."),
    ("/etc/ostree/remotes.d/NAME.conf", "Remotes of the system's repository."),
    ("REPO/NAME.trustedkeys.gpg", "OpenPGP keys that were imported for a remote."),
];

const COOKIE_FILES: &[(&str, &str)] =
    &[("REPO/NAME.cookies.txt", "Cookies of a remote, in Netscape's format.")];

/// The pages.
pub(super) const PAGES: &[Page] = &[
    Page {
        command: "remote",
        details: "Adds, deletes and lists remotes, the OpenPGP keys that they are verified with, and \
            the cookies that requests to them take along.",
        examples: &[("List remotes with their addresses:", "osier remote --repo=repo list -u")],
        environment: OF_REPO,
        files: REMOTE_FILES,
        see_also: &[
            "remote-add",
            "remote-add-cookie",
            "remote-delete",
            "remote-delete-cookie",
            "remote-gpg-import",
            "remote-gpg-list-keys",
            "remote-list",
            "remote-list-cookies",
            "remote-show-url",
        ],
    },
    Page {
        command: "remote add",
        details: "Adds a remote: a name for a repository elsewhere, with the way to verify what \
            comes from there.",
        examples: &[
            (
                "A remote with a collection:",
                "osier remote add --repo=repo --collection-id=org.example.Os upstream \
                 https://example.org/repo",
            ),
            (
                "One whose commits are signed with ed25519:",
                "osier remote add --repo=repo --sign-verify=ed25519=file:/etc/ostree/key.pub \
                 signed https://example.org/repo",
            ),
        ],
        environment: OF_REPO,
        files: REMOTE_FILES,
        see_also: &["remote-delete", "remote-list"],
    },
    Page {
        command: "remote add-cookie",
        details: "Adds a cookie that requests to a remote take along. It is sent to DOMAIN, and to \
            the hosts below if DOMAIN begins with a dot, for PATH and everything below it, and \
            lasts 25 years. NAME need not be a remote yet.",
        examples: &[(
            "A token for a whole server:",
            "osier remote add-cookie --repo=repo origin content.example.org / token 0123abcd",
        )],
        environment: OF_REPO,
        files: COOKIE_FILES,
        see_also: &["remote-list-cookies", "remote-delete-cookie"],
    },
    Page {
        command: "remote delete",
        details: "Deletes a remote. The refs that were pulled from it stay.",
        examples: &[(
            "Delete a remote if it is there:",
            "osier remote delete --repo=repo --if-exists gone",
        )],
        environment: OF_REPO,
        files: REMOTE_FILES,
        see_also: &["remote-add", "refs"],
    },
    Page {
        command: "remote delete-cookie",
        details: "Deletes the cookies with exactly this DOMAIN, PATH and COOKIE_NAME. Comments in \
            the file are lost.",
        examples: &[(
            "Delete one:",
            "osier remote delete-cookie --repo=repo origin content.example.org / token",
        )],
        environment: OF_REPO,
        files: COOKIE_FILES,
        see_also: &["remote-add-cookie", "remote-list-cookies"],
    },
    Page {
        command: "remote gpg-import",
        details: "Adds OpenPGP keys, armoured or binary, to those that a remote is verified with. \
            All keys of the input are taken, or those that KEY-ID chooses: a fingerprint, a key \
            id or a part of a user id. Prints how many keys are new; to a key that is there \
            already it adds what is new about it.",
        examples: &[
            (
                "Import the keys in a file:",
                "osier remote gpg-import --repo=repo --keyring=key.asc origin",
            ),
            (
                "One of the keys that gpg has:",
                "gpg --export | osier remote gpg-import --repo=repo --stdin origin KEY-ID",
            ),
        ],
        environment: OF_REPO,
        files: REMOTE_FILES,
        see_also: &["remote-gpg-list-keys", "remote-add"],
    },
    Page {
        command: "remote gpg-list-keys",
        details: "Lists the OpenPGP keys that a remote is verified with, or without NAME those of \
            the system, with the addresses where a Web Key Directory has newer copies.",
        examples: &[("List them:", "osier remote gpg-list-keys --repo=repo origin")],
        environment: OF_REPO,
        files: REMOTE_FILES,
        see_also: &["remote-gpg-import"],
    },
    Page {
        command: "remote list",
        details: "Lists the names of remotes.",
        examples: &[
            ("With their addresses:", "osier remote list --repo=repo --show-urls"),
            ("As JSON:", "osier remote list --repo=repo --json"),
        ],
        environment: OF_REPO,
        files: REMOTE_FILES,
        see_also: &["remote-add", "remote-show-url"],
    },
    Page {
        command: "remote list-cookies",
        details: "Prints the cookies of a remote, values included.",
        examples: &[("Print them:", "osier remote list-cookies --repo=repo origin")],
        environment: OF_REPO,
        files: COOKIE_FILES,
        see_also: &["remote-add-cookie", "remote-delete-cookie"],
    },
    Page {
        command: "remote show-url",
        details: "Prints the address of a remote.",
        examples: &[("Print it:", "osier remote show-url --repo=repo origin")],
        environment: OF_REPO,
        files: REMOTE_FILES,
        see_also: &["remote-list"],
    },
];
