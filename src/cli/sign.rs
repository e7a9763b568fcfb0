//! `sign`: signs a commit with ed25519, spki or dummy keys, and verifies such signatures.

use std::path::{Path, PathBuf};

use osier::Checksum;
use osier::error::During as _;
use osier::input;
use osier::object::{ObjectName, ObjectType, detached};
use osier::repo::Repo;
use osier::sign::{
    self, Engine, SecretKey, SecretKeyFile, SignError, SignatureType, VerificationKeys,
};
use osier::signer::{PayloadKind, Signer as _};

use super::context::Context;
use super::elsewhere::{Elsewhere, KeyOptions};
use super::error::{Failure, warn};
use super::options::{OWN_OPTIONS, integer, path};
use super::signing;

/// The options of `sign`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Delete signatures having any of the KEY-IDs
    #[arg(short, long)]
    delete: bool,
    /// Verify signatures
    #[arg(long)]
    verify: bool,
    /// Signature type to use (defaults to 'ed25519')
    #[arg(short, long, value_name = "NAME")]
    sign_type: Option<String>,
    /// Read key(s) from file
    #[arg(long, value_name = "NAME", value_parser = path())]
    keys_file: Option<PathBuf>,
    /// Redefine system-wide directories with public and revoked keys for verification
    #[arg(long, value_name = "NAME", value_parser = path())]
    keys_dir: Option<PathBuf>,
    /// Write the bytes to be signed to FILE; '-' is standard output
    #[arg(long, value_name = "FILE", value_parser = path(), help_heading = OWN_OPTIONS)]
    payload_out: Option<PathBuf>,
    /// Add the signature in FILE, which was made elsewhere
    #[arg(long, value_name = "FILE", value_parser = path(), help_heading = OWN_OPTIONS)]
    attach: Option<PathBuf>,
    /// A public KEY that the signature of --attach or --exec must be valid with
    #[arg(long, value_name = "KEY", help_heading = OWN_OPTIONS)]
    verify_key: Vec<String>,
    /// Have PROGRAM sign, with the arguments after COMMIT
    #[arg(long, value_name = "PROGRAM", help_heading = OWN_OPTIONS)]
    exec: Option<String>,
    /// How long PROGRAM may take (default: 60)
    #[arg(long, value_name = "SECONDS", value_parser = integer, help_heading = OWN_OPTIONS)]
    exec_timeout: Option<i32>,
    /// Make a key pair
    #[arg(long, help_heading = OWN_OPTIONS)]
    generate_key: bool,
    /// Write it to BASE.sec and BASE.pub
    #[arg(long, value_name = "BASE", value_parser = path(), help_heading = OWN_OPTIONS)]
    out: Option<PathBuf>,
    arguments: Vec<String>,
}

pub(super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    refuse_idle(&args)?;
    if args.generate_key {
        return generate(&args);
    }
    let repo = context.open_repo()?;
    let makes: [bool; 4] =
        [args.verify, args.payload_out.is_some(), args.attach.is_some(), args.exec.is_some()];
    if makes.into_iter().filter(|one| *one).count() > 1 {
        let message = "only one of --verify, --payload-out, --attach and --exec can be given";
        return Err(Failure::usage(message));
    }
    let Some((commit, keys)) = args.arguments.split_first() else {
        return Err(Failure::Incomplete("Need a COMMIT to sign or verify".to_owned()));
    };
    if args.delete {
        return Err(Failure::failed("Deleting signatures is not implemented"));
    }
    let has_keys = args.keys_file.is_some() || !keys.is_empty();
    if !makes.contains(&true) && !has_keys {
        return Err(Failure::Incomplete("Need at least one KEY-ID to sign with".to_owned()));
    }
    if (args.payload_out.is_some() || args.attach.is_some()) && !keys.is_empty() {
        return Err(Failure::usage("Too many arguments given"));
    }
    let commit = repo.resolve_rev(commit)?;
    let data = repo.load_metadata(&ObjectName::new(commit, ObjectType::Commit))?;
    if let Some(file) = &args.payload_out {
        return write_payload(file, &data, context);
    }
    let engine = match signing::engine(args.sign_type.as_deref()) {
        // A key that an engine does not take is one more that does not verify.
        Err(_) if args.verify && !keys.is_empty() && is_known(args.sign_type.as_deref()) => {
            return Err(Failure::failed("No valid signatures found"));
        }
        engine => engine?,
    };
    if args.verify {
        let metadata = repo.load_detached_metadata(&commit)?.unwrap_or_default();
        let verified =
            verify(&args, engine, keys, |keys| sign::verify_detached(keys, &data, &metadata))?;
        return writeln!(context.out, "{verified}");
    }
    repo.check_writable()?;
    let signed = Signed { repo: &repo, commit, data: &data, engine };
    if let Some(file) = &args.attach {
        return signed.attach(&Elsewhere::file(file, key_options(&args).load(&repo)?)?);
    }
    if let Some(program) = &args.exec {
        let public = key_options(&args).load(&repo)?;
        return signed.attach(&Elsewhere::program(program, keys, args.exec_timeout, public)?);
    }
    for key in keys {
        let key = SecretKey::parse(engine, key).map_err(osier::Error::from)?;
        signed.sign(&key)?;
    }
    let Some(path) = &args.keys_file else { return Ok(()) };
    let file = SecretKeyFile::open_regular(path).map_err(osier::Error::from)?;
    if let Some(warning) = file.warning() {
        warn(&format!("warning: {warning}"));
    }
    file.keys(engine).map_err(osier::Error::from)?.iter().try_for_each(|key| signed.sign(key))
}

/// Refuses osier's own options where they would have no effect.
fn refuse_idle(args: &Args) -> Result<(), Failure> {
    let elsewhere = args.attach.is_some() || args.exec.is_some();
    for (is_idle, option, needed) in [
        (args.out.is_some() && !args.generate_key, "--out", "--generate-key"),
        (!args.verify_key.is_empty() && !elsewhere, "--verify-key", "--attach or --exec"),
        (args.exec_timeout.is_some() && args.exec.is_none(), "--exec-timeout", "--exec"),
    ] {
        if is_idle {
            return Err(Failure::usage(format!("{option} needs {needed}")));
        }
    }
    Ok(())
}

fn generate(args: &Args) -> Result<(), Failure> {
    let Some(base) = &args.out else {
        return Err(Failure::usage("--generate-key needs --out=BASE"));
    };
    if !args.arguments.is_empty() {
        return Err(Failure::usage("Too many arguments given"));
    }
    let pair =
        sign::generate(signing::engine(args.sign_type.as_deref())?).map_err(osier::Error::from)?;
    pair.write(base).map_err(osier::Error::from)?;
    Ok(())
}

fn write_payload(file: &Path, data: &[u8], context: &Context) -> Result<(), Failure> {
    match file == Path::new("-") {
        true => context.out.write_bytes(data),
        false => Ok(input::replace_named(file, data).during("writing", file)?),
    }
}

/// The public keys that the user names.
fn key_options(args: &Args) -> KeyOptions {
    KeyOptions {
        sign_type: args.sign_type.clone(),
        verify_key: args.verify_key.clone(),
        keys_file: args.keys_file.clone(),
        keys_dir: args.keys_dir.clone(),
        gpg_homedir: None,
    }
}

/// Tries each key of the command line alone, and then the last of them with those of files.
fn verify(
    args: &Args,
    engine: Engine,
    inline: &[String],
    verify: impl Fn(&VerificationKeys) -> Result<sign::Verified, SignError>,
) -> Result<sign::Verified, Failure> {
    let mut keys = VerificationKeys::new(engine);
    for key in inline {
        let mut only = VerificationKeys::new(engine);
        // What is wrong with one of several keys is not reported.
        if only.add_inline(key).is_err() {
            continue;
        }
        if let Ok(verified) = verify(&only) {
            return Ok(verified);
        }
        keys = only;
    }
    let loaded = match &args.keys_file {
        Some(file) => keys.load_file(file),
        None if inline.is_empty() => keys.load_directories(&key_options(args).directories()),
        None => return Err(Failure::failed("No valid signatures found")),
    };
    Ok(loaded.and_then(|()| verify(&keys)).map_err(osier::Error::from)?)
}

fn is_known(signature_type: Option<&str>) -> bool {
    signature_type.is_none_or(|name| SignatureType::parse(name).is_ok())
}

/// A commit to be signed.
struct Signed<'s> {
    repo: &'s Repo,
    commit: Checksum,
    data: &'s [u8],
    engine: Engine,
}

impl Signed<'_> {
    fn sign(&self, key: &SecretKey) -> Result<(), Failure> {
        let signature = sign::sign(key, self.data).map_err(|error| {
            let error = osier::Error::from(error).chain();
            Failure::failed(format!("Not able to sign the cobject: {error}"))
        })?;
        self.store(&signature)
    }

    fn store(&self, signature: &[u8]) -> Result<(), Failure> {
        let key = self.engine.signature_type().metadata_key();
        self.repo.edit_detached_metadata(&self.commit, |metadata| {
            Ok(Some(detached::append(&metadata, key, signature)))
        })?;
        Ok(())
    }

    /// Stores a signature that was made elsewhere, unless the keys at hand refute it.
    fn attach(&self, made: &Elsewhere) -> Result<(), Failure> {
        self.store(&made.sign(PayloadKind::Commit, self.data)?.bytes)
    }
}
