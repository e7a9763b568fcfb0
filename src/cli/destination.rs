//! Commands that work on what was pushed to a destination, instead of the repository here.

use std::path::PathBuf;

use osier::push::{Named, Place};
use osier::repo::Repo;

use super::context::{self, Context};
use super::error::Failure;
use super::options::OWN_OPTIONS;

/// How the store of a bucket is reached.
#[derive(Default, clap::Args)]
pub(super) struct StoreArgs {
    /// The URL of the store that has the bucket (default: Amazon's)
    #[arg(long, value_name = "URL", help_heading = OWN_OPTIONS)]
    endpoint: Option<String>,
    /// The region of the bucket
    #[arg(long, value_name = "REGION", help_heading = OWN_OPTIONS)]
    region: Option<String>,
    /// Take credentials from this profile of the AWS tools
    #[arg(long, value_name = "NAME", help_heading = OWN_OPTIONS)]
    profile: Option<String>,
}

/// What a command works on.
pub(super) enum Target {
    /// The repository of the command.
    Here,
    /// A directory that was pushed to.
    Directory(PathBuf),
    /// A bucket.
    #[cfg(feature = "s3")]
    Store(osier::push::Bucket),
}

/// Finds what is worked on by the arguments of a command that `ostree` has without any. It ignores
/// them, and so does osier under its name, unless they are URLs.
pub(super) fn target(
    arguments: &[String],
    store: StoreArgs,
    context: &Context,
) -> Result<Target, Failure> {
    let StoreArgs { endpoint, region, profile } = store;
    let Some(place) = arguments.first().filter(|place| is_one(place, context)) else {
        return match endpoint.is_some() || region.is_some() || profile.is_some() {
            true => Err(Failure::usage("DEST must be specified")),
            false => Ok(Target::Here),
        };
    };
    if let [_, other, ..] = arguments {
        return Err(Failure::usage(format!("Too many arguments: '{other}'")));
    }
    let named = match place.contains("://") {
        true => Named { url: place.clone(), ..Named::default() },
        false => Named::find(&context.open_repo()?, place)?,
    };
    open(Named {
        endpoint: endpoint.or(named.endpoint),
        region: region.or(named.region),
        profile: profile.or(named.profile),
        ..named
    })
}

fn is_one(place: &str, context: &Context) -> bool {
    place.contains("://") || !context.is_ostree()
}

fn open(named: Named) -> Result<Target, Failure> {
    match Place::parse(&named.url)? {
        Place::Directory(path) => Ok(Target::Directory(path)),
        #[cfg(feature = "s3")]
        Place::Store { bucket, prefix } => Ok(Target::Store(self::bucket(bucket, prefix, named)?)),
        #[cfg(not(feature = "s3"))]
        Place::Store { .. } => Err(without_stores()),
        Place::Machine(address) => Err(Failure::failed(format!(
            "{address}: the repository of another machine is worked on there: \
             `osier --repo=PATH` has the same commands"
        ))),
    }
}

/// The bucket of a destination.
#[cfg(feature = "s3")]
pub(super) fn bucket(
    bucket: String,
    prefix: String,
    named: Named,
) -> Result<osier::push::Bucket, Failure> {
    Ok(osier::push::Bucket::new(&store_options(bucket, prefix, named))?)
}

/// How a bucket is reached, with what the environment says.
#[cfg(feature = "s3")]
pub(super) fn store_options(
    bucket: String,
    prefix: String,
    named: Named,
) -> osier::push::StoreOptions {
    use osier::http::{ClientOptions, Proxies};
    use osier::push::{StoreOptions, Variables};
    use std::env;
    let Named { endpoint, region, profile, instance_credentials, url: _, receiver: _ } = named;
    let variables = env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    StoreOptions {
        bucket,
        prefix,
        endpoint,
        region,
        profile,
        instance_credentials,
        variables: Variables(variables.filter(|(name, _)| name.starts_with("AWS_")).collect()),
        home: env::home_dir(),
        http: ClientOptions {
            proxies: Proxies::from_environment(|name| env::var(name).ok()),
            ..ClientOptions::default()
        },
    }
}

#[cfg(not(feature = "s3"))]
pub(super) fn without_stores() -> Failure {
    Failure::failed("this osier is built without the feature 's3'")
}

/// Opens the directory of a destination.
pub(super) fn open_directory(path: &std::path::Path) -> Result<Repo, Failure> {
    Ok(Repo::open_with(&context::absolute(path)?, &context::open_options()?)?)
}
