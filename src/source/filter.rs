//! Changes the metadata recorded for entries, and leaves entries out.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use super::statoverride::{SkipList, StatOverride};
use crate::error::{Error, Result};
use crate::gvariant::table::HashTable;
use crate::object::{PERMISSION_BITS, S_IFDIR, S_IFMT, S_IFREG};
use crate::progress::{Event, Progress};

/// The options that change what is recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Modifier {
    /// Owner of everything.
    pub owner_uid: Option<u32>,
    /// Group of everything.
    pub owner_gid: Option<u32>,
    /// Owner and group 0, permissions `& 0755`, no xattrs. A bare-user-only repository implies it.
    pub canonical_permissions: bool,
    /// Regular files that anyone may execute lose all write permissions.
    pub mode_ro_executables: bool,
    /// No xattrs.
    pub no_xattrs: bool,
    /// Permissions of single files.
    pub statoverride: Option<StatOverride>,
    /// What to leave out.
    pub skip_list: Option<SkipList>,
}

/// The metadata that can be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ownership {
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permissions and type bits.
    pub mode: u32,
}

/// A [`Modifier`] at work during one commit: it remembers which of its paths turned up. Any thread
/// may ask it.
#[derive(Debug)]
pub struct Filter<'m> {
    modifier: &'m Modifier,
    added: OneShots<&'m str, u32>,
    skipped: OneShots<&'m str, ()>,
}

impl Modifier {
    /// Whether anything is to be changed at all. Only then does a tree taken from a commit run
    /// through the filter.
    pub fn is_active(&self) -> bool {
        *self != Self::default()
    }
}

impl<'m> Filter<'m> {
    /// Starts with every path unused.
    pub fn new(modifier: &'m Modifier) -> Self {
        let added = modifier.statoverride.iter().flat_map(|file| &file.added);
        let skipped = modifier.skip_list.iter().flat_map(|file| &file.paths);
        Self {
            modifier,
            added: OneShots::new(added.map(|(path, mode)| (path.as_str(), *mode))),
            skipped: OneShots::new(skipped.map(|path| (path.as_str(), ()))),
        }
    }

    /// Whether [`Filter::apply`] looks at its path; if not, the empty one will do.
    pub fn needs_paths(&self) -> bool {
        self.modifier.statoverride.is_some() || self.modifier.skip_list.is_some()
    }

    /// Whether xattrs are recorded.
    pub fn records_xattrs(&self) -> bool {
        !self.modifier.no_xattrs && !self.modifier.canonical_permissions
    }

    /// What is recorded for the entry at `path` (`/usr/bin`; the root is `/`); `None` leaves it
    /// out.
    ///
    /// A line of the skip list and a `+` line of the statoverride file work once, as upstream's do:
    /// of two trees laid over each other only the first to have the path is affected.
    pub fn apply(&self, path: &str, found: Ownership) -> Result<Option<Ownership>> {
        let Modifier { owner_uid, owner_gid, canonical_permissions, mode_ro_executables, .. } =
            *self.modifier;
        let mut recorded = found;
        recorded.uid = owner_uid.unwrap_or(found.uid);
        recorded.gid = owner_gid.unwrap_or(found.gid);
        if mode_ro_executables && found.mode & S_IFMT == S_IFREG && found.mode & 0o111 != 0 {
            recorded.mode &= !0o222;
        }
        if let Some(added) = self.added.take(path) {
            recorded.mode |= added;
        } else if let Some(replaced) =
            self.modifier.statoverride.as_ref().and_then(|file| file.replaced.get(path))
        {
            recorded.mode = recorded.mode & S_IFMT | replaced;
        }
        if self.skipped.take(path).is_some() {
            return Ok(None);
        }
        check_mode(found.mode & S_IFMT, recorded.mode)?;
        if canonical_permissions {
            (recorded.uid, recorded.gid) = (0, 0);
            if matches!(recorded.mode & S_IFMT, S_IFREG | S_IFDIR) {
                recorded.mode &= S_IFMT | 0o755;
            }
        }
        Ok(Some(recorded))
    }

    /// Whether the skip list leaves out what no object can be made of, so that there is nothing to
    /// [`Filter::apply`]. The line of the list works once here as well.
    pub fn leaves_out(&self, path: &str) -> bool {
        self.skipped.take(path).is_some()
    }

    /// Refuses if a path that must turn up did not; each is reported as a warning in upstream's
    /// words and order.
    pub fn check_all_used(&self, progress: &dyn Progress) -> Result<()> {
        self.added.check_all_taken("statoverride", progress)?;
        self.skipped.check_all_taken("skip-list", progress)
    }
}

/// A mode from a statoverride file may hold anything; what no object can hold is refused in
/// upstream's words.
fn check_mode(file_type: u32, mode: u32) -> Result<()> {
    if mode & !PERMISSION_BITS == file_type {
        return Ok(());
    }
    Err(Error::failed(match file_type {
        S_IFDIR if mode & S_IFMT == S_IFDIR => format!("Invalid mode {mode}; invalid bits in mode"),
        S_IFDIR => format!("Invalid directory metadata mode {mode}; not a directory"),
        _ => format!("Corrupted archive file; invalid mode {mode}"),
    }))
}

/// Paths, each with a value that can be had once.
#[derive(Debug)]
struct OneShots<P, V> {
    /// In the order of the file.
    paths: Vec<P>,
    values: HashMap<P, (V, AtomicBool)>,
}

impl<'m, V: Copy> OneShots<&'m str, V> {
    fn new(pairs: impl Iterator<Item = (&'m str, V)>) -> Self {
        let (mut paths, mut values) = (Vec::new(), HashMap::new());
        for (path, value) in pairs {
            paths.push(path);
            values.insert(path, (value, AtomicBool::new(false)));
        }
        Self { paths, values }
    }

    fn take(&self, path: &str) -> Option<V> {
        let (value, taken) = self.values.get(path)?;
        (!taken.swap(true, Ordering::Relaxed)).then_some(*value)
    }

    fn check_all_taken(&self, file: &str, progress: &dyn Progress) -> Result<()> {
        // Upstream keeps the paths in a hash table, and reports in its order.
        let mut table = HashTable::new();
        for path in &self.paths {
            table.insert((*path).to_owned(), ());
        }
        let is_left = |path: &str| {
            self.values.get(path).is_some_and(|(_, taken)| !taken.load(Ordering::Relaxed))
        };
        let left: Vec<&str> =
            table.iter().map(|(path, ())| path).filter(|path| is_left(path)).collect();
        for path in &left {
            progress.event(Event::Warning(&format!("Unmatched {file} path: {path}")));
        }
        if left.is_empty() { Ok(()) } else { Err(Error::failed(format!("Unmatched {file} paths"))) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    const FILE: Ownership = Ownership { uid: 1000, gid: 100, mode: 0o100_644 };
    const PROGRAM: Ownership = Ownership { uid: 1000, gid: 100, mode: 0o106_755 };
    const DIR: Ownership = Ownership { uid: 1000, gid: 100, mode: 0o042_775 };
    const SYMLINK: Ownership = Ownership { uid: 1000, gid: 100, mode: 0o120_777 };

    fn statoverride(text: &str) -> Modifier {
        Modifier { statoverride: Some(StatOverride::parse(text).unwrap()), ..Modifier::default() }
    }

    fn modes(modifier: &Modifier, entries: &[(&str, Ownership)]) -> Vec<u32> {
        let filter = Filter::new(modifier);
        entries
            .iter()
            .map(|(path, found)| filter.apply(path, *found).unwrap().unwrap().mode)
            .collect()
    }

    /// The warnings, and the error if there is one.
    fn unused(filter: &Filter<'_>) -> (Vec<String>, Option<String>) {
        let warnings = Mutex::new(Vec::new());
        let note = |event: Event<'_>| match event {
            Event::Warning(text) => warnings.lock().unwrap().push(text.to_owned()),
            other => panic!("{other:?}"),
        };
        let result = filter.check_all_used(&note);
        (warnings.into_inner().unwrap(), result.err().map(|error| error.to_string()))
    }

    #[test]
    fn without_options_everything_stays() {
        let modifier = Modifier::default();
        let filter = Filter::new(&modifier);
        for found in [FILE, PROGRAM, DIR, SYMLINK] {
            assert_eq!(filter.apply("", found).unwrap(), Some(found));
        }
        assert!(filter.records_xattrs() && !filter.needs_paths() && !modifier.is_active());
    }

    #[test]
    fn canonical_permissions_are_0755_at_most_and_belong_to_root() {
        let modifier =
            Modifier { canonical_permissions: true, owner_uid: Some(5), ..Modifier::default() };
        let filter = Filter::new(&modifier);
        for (found, mode) in
            [(FILE, 0o100_644), (PROGRAM, 0o100_755), (DIR, 0o040_755), (SYMLINK, 0o120_777)]
        {
            assert_eq!(filter.apply("", found).unwrap(), Some(Ownership { uid: 0, gid: 0, mode }));
        }
        assert!(!filter.records_xattrs());
    }

    #[test]
    fn owners_are_replaced_for_every_kind() {
        let modifier = Modifier { owner_uid: Some(7), owner_gid: Some(8), ..Modifier::default() };
        for found in [FILE, DIR, SYMLINK] {
            let expected = Ownership { uid: 7, gid: 8, ..found };
            assert_eq!(Filter::new(&modifier).apply("", found).unwrap(), Some(expected));
        }
    }

    #[test]
    fn only_executable_regular_files_become_read_only() {
        let modifier = Modifier { mode_ro_executables: true, ..Modifier::default() };
        let found = [("", FILE), ("", PROGRAM), ("", DIR), ("", SYMLINK)];
        assert_eq!(modes(&modifier, &found), [0o100_644, 0o106_555, 0o042_775, 0o120_777]);
    }

    #[test]
    fn statoverride_comes_after_read_only_executables() {
        let modifier = Modifier { mode_ro_executables: true, ..statoverride("73 /a\n") };
        assert_eq!(modes(&modifier, &[("/a", FILE)]), [0o100_755]);
    }

    #[test]
    fn canonical_permissions_come_after_statoverride() {
        let modifier =
            Modifier { canonical_permissions: true, ..statoverride("=4095 /a\n=4095 /d\n") };
        assert_eq!(modes(&modifier, &[("/a", FILE), ("/d", DIR)]), [0o100_755, 0o040_755]);
    }

    #[test]
    fn an_added_mode_works_once_and_before_the_replacing_one() {
        let modifier = statoverride("=448 /a\n1 /a\n+1 /\n=1 /l\n");
        let found =
            [("/a", FILE), ("/a", FILE), ("/a", FILE), ("/b", FILE), ("/", DIR), ("/l", SYMLINK)];
        assert_eq!(
            modes(&modifier, &found),
            [0o100_645, 0o100_700, 0o100_700, 0o100_644, 0o042_775, 0o120_001]
        );
    }

    #[test]
    fn a_mode_that_no_object_can_hold_is_refused() {
        let table = [
            ("4096 /a\n", FILE, "Corrupted archive file; invalid mode 37284"),
            ("=-1 /a\n", FILE, "Corrupted archive file; invalid mode 4294967295"),
            ("=16384 /a\n", FILE, "Corrupted archive file; invalid mode 49152"),
            ("8192 /a\n", FILE, "Corrupted archive file; invalid mode 41380"),
            ("=65536 /a\n", DIR, "Invalid mode 81920; invalid bits in mode"),
            ("=32768 /a\n", DIR, "Invalid directory metadata mode 49152; not a directory"),
        ];
        for (text, found, expected) in table {
            let error = Filter::new(&statoverride(text)).apply("/a", found).unwrap_err();
            assert_eq!(error.to_string(), expected, "{text}");
        }
    }

    #[test]
    fn a_skipped_path_is_left_out_once_and_uses_up_its_statoverride() {
        let skip_list = Some(SkipList::parse("/a\n"));
        let modifier = Modifier { skip_list, ..statoverride("+1 /a\n") };
        let filter = Filter::new(&modifier);
        assert_eq!(filter.apply("/a", FILE).unwrap(), None);
        assert_eq!(unused(&filter), (vec![], None));
        assert_eq!(filter.apply("/a", FILE).unwrap(), Some(FILE));
    }

    /// The orders are those of `ostree commit`.
    #[test]
    fn unused_paths_are_reported_in_upstreams_order() {
        let skip_list = Some(SkipList::parse("/nope\n/zz\n/q\n/a\n/b\n"));
        let modifier = Modifier { skip_list, ..Modifier::default() };
        let filter = Filter::new(&modifier);
        assert_eq!(filter.apply("/a", FILE).unwrap(), None);
        let lines =
            ["/q", "/b", "/nope", "/zz"].map(|path| format!("Unmatched skip-list path: {path}"));
        assert_eq!(unused(&filter), (lines.to_vec(), Some("Unmatched skip-list paths".to_owned())));

        let modifier = Modifier { ..statoverride("1 /n5\n=1 /n7\n1 /n3\n+1 /n9\n1 /n1\n") };
        let lines =
            ["/n3", "/n5", "/n9", "/n1"].map(|path| format!("Unmatched statoverride path: {path}"));
        let expected = (lines.to_vec(), Some("Unmatched statoverride paths".to_owned()));
        assert_eq!(unused(&Filter::new(&modifier)), expected);
    }
}
