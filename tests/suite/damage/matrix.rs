//! Every kind of object, in every mode, damaged in every way, met by every command that could meet
//! it.
//!
//! What must come out follows from the table of which command reads which object: one that does not
//! read it does what it always does; one that needs it says which object it cannot read; one that
//! verifies it notices whatever its checksum covers. Nothing hangs or panics, and nothing else in
//! the repository is touched.
//!
//! The short form tries few flips and, for each case, a part of the commands; the long one
//! everything.

use std::collections::BTreeSet;
use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use super::calls::{Access, CALLS, Call, Effect, MODES};
use super::place::Place;
use super::subject::{Damage, Piece, Role, Subject};
use crate::support::{
    Output, Snapshot, differences, has_xattrs, long_tests, raw_snapshot, scratch_root, skip,
};

/// Of so many commands the short form tries one for each case; `fsck` is always tried.
const SHORT_SHARE: usize = 12;

#[test]
fn damage_in_archives_is_reported_by_name_and_stays_where_it_is() {
    all_in("archive");
}

#[test]
fn damage_in_bare_repositories_is_reported_by_name_and_stays_where_it_is() {
    all_in("bare");
}

#[test]
fn damage_in_bare_user_repositories_is_reported_by_name_and_stays_where_it_is() {
    if !has_xattrs(scratch_root(), "user.osier") {
        return skip("bare-user needs user xattrs");
    }
    all_in("bare-user");
}

#[test]
fn damage_in_bare_user_only_repositories_is_reported_by_name_and_stays_where_it_is() {
    all_in("bare-user-only");
}

/// What must come of a command that meets the damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// As if nothing were wrong.
    Same,
    /// An error that names the object.
    Refused,
    /// Either what it makes of the bytes, or an error about them.
    Either,
    /// The verdict that the repositories differ, in this object.
    Different,
    /// The verdict that it is unknown whether they do, because of this object.
    Unknown,
    /// One of these two verdicts.
    Unequal,
}

/// A damage, and its number.
type Case<'c> = (usize, &'c Piece, Damage);

fn all_in(mode: &str) {
    assert!(MODES.contains(&mode));
    let started = Instant::now();
    let subject = Subject::new(mode);
    let calls: Vec<&Call> = CALLS.iter().filter(|call| call.modes.contains(&mode)).collect();
    let sound = raw_snapshot(&subject.path("repo"));
    let mut place = Place::new(&subject, &sound, "usual");
    let usual: Vec<Usual> = calls.iter().map(|call| Usual::of(&mut place, call)).collect();
    let flips = if long_tests() { 6 } else { 1 };
    let repo = subject.path("repo");
    let damages = subject.pieces.iter().flat_map(|piece| {
        let all = Damage::all_of(&repo, piece, flips);
        all.into_iter().map(move |damage| (piece, damage))
    });
    let cases: Vec<Case<'_>> =
        damages.enumerate().map(|(number, (piece, damage))| (number, piece, damage)).collect();
    let next = AtomicUsize::new(0);
    let work = |worker: usize| {
        let mut place = Place::new(&subject, &sound, &format!("place-{worker}"));
        let (mut runs, mut wrong) = (0, Vec::new());
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            runs += one_case(&mut place, calls.iter().copied().zip(&usual), *case, &mut wrong);
        }
        (runs, wrong)
    };
    let results: Vec<(usize, Vec<String>)> = thread::scope(|scope| {
        let workers = thread::available_parallelism().map_or(1, usize::from);
        let work = &work;
        let threads: Vec<_> =
            (0..workers).map(|worker| scope.spawn(move || work(worker))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let runs: usize = results.iter().map(|(runs, _)| runs).sum();
    let wrong: Vec<String> = results.into_iter().flat_map(|(_, wrong)| wrong).collect();
    let (cases, took) = (cases.len(), started.elapsed());
    println!(
        "{mode}: {cases} cases of damage, {runs} runs of {} commands in {took:.1?}",
        calls.len()
    );
    assert!(wrong.is_empty(), "{mode}: {} of {runs} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(cases >= 70, "only {cases} cases");
    let touched = differences(&sound, &raw_snapshot(&repo));
    assert!(touched.is_empty(), "{mode}: the sound repository was changed: {touched:?}");
}

/// Lets commands meet a damage; the number of them, and what is wrong with what comes out.
fn one_case<'c>(
    place: &mut Place<'_>,
    calls: impl Iterator<Item = (&'c Call, &'c Usual)>,
    (number, piece, damage): Case<'_>,
    wrong: &mut Vec<String>,
) -> usize {
    let mut runs = 0;
    for (place_in_table, call) in calls.enumerate() {
        let its_turn = place_in_table % SHORT_SHARE == number % SHORT_SHARE;
        if !(long_tests() || its_turn || call.0.arguments == ["fsck"]) {
            continue;
        }
        runs += 1;
        if let Err(problem) = one(place, call, (piece, damage)) {
            wrong.push(format!("{damage:?} {:?} {}: {problem}", piece.role, piece.path));
        }
    }
    place.discard();
    runs
}

/// What a command does when nothing is damaged.
struct Usual {
    status: i32,
    stdout: Vec<u8>,
    /// The paths that it changes.
    changed: BTreeSet<String>,
}

impl Usual {
    fn of(place: &mut Place<'_>, call: &Call) -> Self {
        place.discard();
        place.prepare(None);
        let output = place.run(call);
        assert_eq!(output.status, 0, "without any damage: {output:?}");
        let changed = place.changed(None);
        assert!(call.effect == Effect::Writes || changed.is_empty(), "{output:?} {changed:?}");
        place.clear_output();
        Self { status: output.status, stdout: output.stdout, changed }
    }
}

/// Runs the command on a copy with the damage, and says what is wrong with what comes out.
fn one(
    place: &mut Place<'_>,
    (call, usual): (&Call, &Usual),
    (piece, damage): (&Piece, Damage),
) -> Result<(), String> {
    place.prepare(Some((piece, damage)));
    let output = place.run(call);
    let changed = place.changed(Some((piece, damage)));
    let verdict = judge(
        expected(call.access(piece.role), piece, damage, place.sound()),
        (call, usual),
        &output,
        piece,
    )
    .and_then(|()| untouched((call, usual), &output, &changed, (piece, damage)))
    .and_then(|()| pulled_nothing_by_halves(place, &output));
    place.clear_output();
    verdict.map_err(|problem| format!("{problem}\n{output:?}"))
}

fn expected(access: Access, piece: &Piece, damage: Damage, sound: &Snapshot) -> Outcome {
    let unreadable = matches!(damage, Damage::Directory | Damage::Forbidden);
    // Nothing is a valid dictionary, and a valid file where the header is elsewhere.
    let no_object = match piece.role {
        Role::Detached => false,
        role if role.is_file() => piece.path.ends_with(".filez"),
        _ => true,
    };
    match access {
        Access::None => Outcome::Same,
        Access::Compares | Access::ComparesBytes if damage == Damage::Deleted => Outcome::Different,
        Access::Compares | Access::ComparesBytes if unreadable => Outcome::Unknown,
        // It has no checksum: what still is a dictionary differs.
        Access::Compares | Access::ComparesBytes if piece.role == Role::Detached => {
            Outcome::Unequal
        }
        Access::Compares | Access::ComparesBytes if is_covered(piece, damage, sound) => {
            Outcome::Unknown
        }
        Access::ComparesBytes if piece.path.ends_with(".filez") => Outcome::Unequal,
        Access::IfThere | Access::VerifiesIfThere if damage == Damage::Deleted => Outcome::Either,
        // A link needs no permission.
        Access::Takes if !matches!(damage, Damage::Deleted | Damage::Directory) => Outcome::Either,
        _ if unreadable || damage == Damage::Deleted => Outcome::Refused,
        _ if no_object && damage == Damage::Emptied => Outcome::Refused,
        Access::Verifies | Access::VerifiesIfThere if is_covered(piece, damage, sound) => {
            Outcome::Refused
        }
        _ => Outcome::Either,
    }
}

/// Whether the checksum covers what the damage changes.
fn is_covered(piece: &Piece, damage: Damage, sound: &Snapshot) -> bool {
    let stored_as_content = piece.role == Role::Symlink && piece.path.ends_with(".file");
    let original = &sound[&piece.path];
    match damage {
        // The size that a compressed file gives for itself is not covered, nor are bits of the
        // stream that only pad it.
        Damage::Flipped(bit) if piece.path.ends_with(".filez") => {
            let mut damaged = original.content.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            unpacked(&damaged).is_none_or(|damaged| Some(damaged) != unpacked(&original.content))
        }
        // The target of a symlink in a bare-user repository ends with the first NUL or with the
        // file.
        Damage::Extended(_) if stored_as_content => original.content.last() != Some(&0),
        Damage::Truncated(to) if stored_as_content => original.content.get(to) != Some(&0),
        Damage::Flipped(bit) if stored_as_content => original.content[bit / 8] != 0,
        _ => true,
    }
}

/// What the checksum of a `.filez` covers: the header without length, padding and size, and the
/// content.
fn unpacked(filez: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let length = u32::from_be_bytes(*filez.first_chunk::<4>()?) as usize;
    let (header, stream) = filez.split_at_checked(length.checked_add(8)?)?;
    let mut content = Vec::new();
    if !stream.is_empty() {
        flate2::read::DeflateDecoder::new(stream).read_to_end(&mut content).ok()?;
    }
    Some((header.get(16..)?.to_vec(), content))
}

fn judge(
    outcome: Outcome,
    (call, usual): (&Call, &Usual),
    output: &Output,
    piece: &Piece,
) -> Result<(), String> {
    // Its findings are what it was asked for, and its status is a verdict.
    let compares = call.arguments[0] == "compare";
    let mut reported = String::from_utf8_lossy(&output.stderr).into_owned();
    if reported.contains("panicked") || !(0..=if compares { 2 } else { 1 }).contains(&output.status)
    {
        return Err(format!("ended with {}", output.status));
    }
    let failed = output.status != 0;
    if compares {
        if !reported.is_empty() {
            return Err("gave up".to_owned());
        }
        reported.push_str(&String::from_utf8_lossy(&output.stdout));
    } else if failed && !reported.lines().any(|line| line.starts_with("error: ")) {
        return Err("failed without an error".to_owned());
    }
    // An object's path is its checksum, too.
    let mut names_it = reported.replace('/', "").contains(&piece.hex);
    // A wrong checksum inside of what is followed makes the object come up first that is missing
    // now.
    let is_followed =
        matches!(piece.role, Role::Tip | Role::Parent | Role::RootDirtree | Role::SubDirtree);
    names_it |=
        is_followed && call.arguments[0] == "fsck" && reported.contains("No such metadata object ");
    // Prune counts all objects, whether it needs them or not.
    let says_the_same = output.stdout == usual.stdout || call.arguments[0] == "prune";
    match outcome {
        Outcome::Same if output.status != usual.status || !says_the_same => {
            Err("met what it should not need".to_owned())
        }
        Outcome::Refused | Outcome::Different | Outcome::Unknown | Outcome::Unequal if !failed => {
            Err("did not notice".to_owned())
        }
        Outcome::Different if output.status != 1 => {
            Err("could not compare what is plain".to_owned())
        }
        Outcome::Unknown if output.status != 2 => Err("takes damage for a difference".to_owned()),
        Outcome::Refused | Outcome::Different | Outcome::Unknown | Outcome::Unequal
            if !names_it =>
        {
            Err("does not name it".to_owned())
        }
        // What it made of the bytes may have led it elsewhere.
        Outcome::Either if failed && !names_it && !names_any(&reported) => {
            Err("names nothing".to_owned())
        }
        _ => Ok(()),
    }
}

/// Whether the text names an object, a path of the tree, or the key that is not in the metadata any
/// more.
fn names_any(reported: &str) -> bool {
    let reported = reported.replace('/', "");
    let longest = reported.split(|c: char| !c.is_ascii_hexdigit()).map(str::len).max().unwrap_or(0);
    longest >= 62
        || ["small", "large", "link", "sub", "inner", "out", "'detached'"]
            .iter()
            .any(|name| reported.contains(name))
}

/// A command that fails changes nothing; one that succeeds changes what it always does, and may add
/// objects.
fn untouched(
    (call, usual): (&Call, &Usual),
    output: &Output,
    changed: &BTreeSet<String>,
    (piece, damage): (&Piece, Damage),
) -> Result<(), String> {
    let writes = call.effect == Effect::Writes && output.status == 0;
    // What only a commit needed that is gone is prune's to remove.
    let orphaned = call.arguments[0] == "prune"
        && piece.path.ends_with(".commit")
        && damage == Damage::Deleted;
    let may_change = |path: &str| {
        let marks = call.effect == Effect::Marks && path.starts_with("state/");
        let objects =
            writes && (call.arguments[0] == "commit" || orphaned) && path.starts_with("objects/");
        path == piece.path || marks || objects || (writes && usual.changed.contains(path))
    };
    match changed.iter().find(|path| !may_change(path)) {
        Some(path) => Err(format!("changed {path}")),
        None => Ok(()),
    }
}

/// A pull that failed has set no ref.
fn pulled_nothing_by_halves(place: &Place<'_>, output: &Output) -> Result<(), String> {
    match place.path("pulled/refs/heads/main").exists() && output.status != 0 {
        true => Err("the ref was set in spite of the error".to_owned()),
        false => Ok(()),
    }
}
