//! External commands: `ostree-x` on the search path is the command `x`.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

use osier::error::During;
use rustix::fs::{Access, access};

use super::error::Failure;

/// The directory that ostree searches first.
const EXTENSION_DIRECTORY: &str = "/usr/libexec/libostree/ext";

/// Runs the external command `name` in place of this process; returns only when there is none, or
/// when it cannot run.
///
/// It gets all arguments, including the command's name and those before it.
pub(super) fn replace_process(name: &OsStr, arguments: &[OsString]) -> Result<(), Failure> {
    let Some(program) = find(name) else { return Ok(()) };
    let own_name = env::args_os().next().unwrap_or_default();
    let error = Command::new(&program).arg0(own_name).args(arguments).exec();
    Err(Err::<(), _>(error)
        .during("executing", &program)
        .map_or_else(Failure::from, |()| Failure::failed("executing")))
}

fn find(name: &OsStr) -> Option<PathBuf> {
    if name.as_encoded_bytes().contains(&b'/') {
        return None;
    }
    let mut file_name = OsString::from("ostree-");
    file_name.push(name);
    let search_path = env::var_os("PATH").unwrap_or_default();
    let directories =
        [PathBuf::from(EXTENSION_DIRECTORY)].into_iter().chain(env::split_paths(&search_path));
    directories.map(|directory| directory.join(&file_name)).find(|candidate| {
        fs::metadata(candidate).is_ok_and(|metadata| metadata.is_file())
            && access(candidate, Access::EXEC_OK).is_ok()
    })
}
