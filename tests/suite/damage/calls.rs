//! The commands that could meet a damaged object, and which objects each of them reads.

use super::subject::Role::{self, *};

/// How a command deals with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Not at all: it does what it always does.
    None,
    /// Does without it if it is not there, else as `Reads`.
    IfThere,
    /// Opens and decodes it. What still decodes may be taken for the object, as upstream does.
    Reads,
    /// Needs it to be there, but links or copies it as it is.
    Takes,
    /// Compares it with its checksum.
    Verifies,
    /// Does without it if it is not there, else as `Verifies`.
    VerifiesIfThere,
    /// Holds it against a sound one: status 1 if it is not there, 2 if it is not what its checksum
    /// says.
    Compares,
    /// The same, and the bytes of a compressed file count, too.
    ComparesBytes,
}

/// What a command does to the repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    Reads,
    /// Notes that commits are partial.
    Marks,
    /// Writes to it, or removes from it.
    Writes,
}

/// A command line, run where the damaged repository is `trial` and the sound one is `../repo`. All
/// but `compare` get the damaged one, or the one that is pulled into, as `--repo` in front.
pub struct Call {
    pub arguments: &'static [&'static str],
    pub effect: Effect,
    /// Everything not named here is not read.
    pub reads: &'static [(Access, &'static [Role])],
    /// The modes in which it makes sense.
    pub modes: &'static [&'static str],
}

impl Call {
    pub fn access(&self, role: Role) -> Access {
        let found = self.reads.iter().find(|(_, roles)| roles.contains(&role));
        found.map_or(Access::None, |(access, _)| *access)
    }
}

pub const MODES: [&str; 4] = ["archive", "bare", "bare-user", "bare-user-only"];
const ALL: &[&str] = &MODES;

const EVERYTHING: &[Role] =
    &[Tip, RootDirtree, SubDirtree, RootDirmeta, SubDirmeta, SmallFile, LargeFile, Symlink];

/// What a repository holds, whether `main` needs it or not.
const ALL_OBJECTS: &[Role] = &[
    Tip,
    Parent,
    Detached,
    RootDirtree,
    SubDirtree,
    RootDirmeta,
    SubDirmeta,
    SmallFile,
    LargeFile,
    Symlink,
];

const fn reading(
    arguments: &'static [&'static str],
    reads: &'static [(Access, &'static [Role])],
) -> Call {
    Call { arguments, effect: Effect::Reads, reads, modes: ALL }
}

const fn writing(
    arguments: &'static [&'static str],
    reads: &'static [(Access, &'static [Role])],
) -> Call {
    Call { arguments, effect: Effect::Writes, reads, modes: ALL }
}

pub const CALLS: &[Call] = &[
    reading(&["rev-parse", "main"], &[]),
    reading(&["rev-parse", "main^"], &[(Access::Reads, &[Tip])]),
    reading(&["refs"], &[]),
    reading(&["log", "main"], &[(Access::Reads, &[Tip]), (Access::IfThere, &[Parent])]),
    reading(&["show", "main"], &[(Access::Reads, &[Tip]), (Access::IfThere, &[Detached])]),
    reading(&["show", "--raw", "main"], &[(Access::Reads, &[Tip]), (Access::IfThere, &[Detached])]),
    reading(
        &["show", "--print-detached-metadata-key=detached", "main"],
        &[(Access::Reads, &[Detached])],
    ),
    reading(&["summary", "-v"], &[]),
    reading(
        &["ls", "main"],
        &[(
            Access::Reads,
            &[Tip, RootDirtree, RootDirmeta, SubDirmeta, SmallFile, LargeFile, Symlink],
        )],
    ),
    reading(&["ls", "-R", "main"], &[(Access::Reads, EVERYTHING)]),
    reading(&["ls", "-RCX", "main"], &[(Access::Reads, EVERYTHING)]),
    reading(&["cat", "main", "/small"], &[(Access::Reads, &[Tip, RootDirtree, SmallFile])]),
    reading(&["cat", "main", "/large"], &[(Access::Reads, &[Tip, RootDirtree, LargeFile])]),
    reading(
        &["diff", "main^", "main"],
        &[(Access::Reads, &[Tip, Parent, RootDirtree, SubDirtree])],
    ),
    reading(&["export", "main", "-o", "out"], &[(Access::Reads, EVERYTHING)]),
    reading(&["checkout", "-U", "main", "out"], &[(Access::Reads, EVERYTHING)]),
    Call {
        arguments: &["checkout", "-UH", "main", "out"],
        effect: Effect::Reads,
        reads: &[(Access::Reads, EVERYTHING)],
        modes: &["bare-user", "bare-user-only"],
    },
    Call {
        arguments: &["checkout", "-H", "main", "out"],
        effect: Effect::Reads,
        reads: &[(Access::Takes, &[SmallFile, LargeFile]), (Access::Reads, EVERYTHING)],
        modes: &["bare"],
    },
    reading(&["checkout", "--composefs", "main", "out"], &[(Access::Reads, EVERYTHING)]),
    Call {
        arguments: &["fsck"],
        effect: Effect::Marks,
        reads: &[(Access::Verifies, EVERYTHING), (Access::VerifiesIfThere, &[Parent])],
        modes: ALL,
    },
    Call {
        arguments: &["fsck", "-a"],
        effect: Effect::Marks,
        reads: &[(Access::Verifies, EVERYTHING), (Access::VerifiesIfThere, &[Parent])],
        modes: ALL,
    },
    reading(
        &["pull-local", "trial", "main"],
        &[
            (Access::Reads, &[Tip, RootDirtree, SubDirtree]),
            (Access::Takes, &[RootDirmeta, SubDirmeta, SmallFile, LargeFile, Symlink]),
            (Access::IfThere, &[Detached]),
        ],
    ),
    reading(
        &["pull-local", "--depth=-1", "trial", "main"],
        &[
            (Access::Reads, &[Tip, RootDirtree, SubDirtree]),
            (Access::Takes, &[RootDirmeta, SubDirmeta, SmallFile, LargeFile, Symlink]),
            (Access::IfThere, &[Detached, Parent]),
        ],
    ),
    reading(
        &["pull-local", "--untrusted", "trial", "main"],
        &[(Access::Verifies, EVERYTHING), (Access::IfThere, &[Detached])],
    ),
    reading(&["compare", "trial", "../repo"], &[(Access::Compares, ALL_OBJECTS)]),
    Call {
        // Between modes only what both keep counts, and an object cannot be read in the same way.
        arguments: &["compare", "trial", "../other"],
        effect: Effect::Reads,
        reads: &[(Access::Compares, ALL_OBJECTS)],
        modes: &["bare", "bare-user", "bare-user-only"],
    },
    Call {
        arguments: &["compare", "--exact", "../repo", "trial"],
        effect: Effect::Reads,
        reads: &[(Access::ComparesBytes, ALL_OBJECTS)],
        modes: &["archive"],
    },
    writing(
        &["prune", "--refs-only"],
        // As upstream, it does without commits that are not there, even if refs point to them.
        &[
            (Access::Verifies, &[RootDirtree, SubDirtree]),
            (Access::VerifiesIfThere, &[Tip, Parent]),
        ],
    ),
    writing(&["summary", "-u"], &[(Access::Reads, &[Tip])]),
    writing(&["reset", "main", "main^"], &[(Access::Reads, &[Tip, Parent])]),
    writing(&["refs", "--create=new", "main"], &[]),
    writing(
        &["commit", "-b", "new", "--timestamp=@9", "--tree=ref=main"],
        &[(Access::Reads, &[Tip, RootDirtree])],
    ),
    // With anything that may change a file, all of them are stored anew.
    writing(
        &[
            "commit",
            "-b",
            "new",
            "--timestamp=@9",
            "--no-xattrs",
            "--tree=ref=main",
            "--tree=dir=../extra",
        ],
        &[(Access::Reads, EVERYTHING)],
    ),
    writing(
        &[
            "commit",
            "-b",
            "new",
            "--timestamp=@9",
            "--no-xattrs",
            "--base=main",
            "--tree=dir=../extra",
        ],
        &[(Access::Reads, &[Tip, RootDirtree])],
    ),
];
