//! The machine's zlib in a process of its own, for as many cases as one likes.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock};

use crate::support::program;

/// Answers one question at a time.
pub struct Oracle {
    pipes: Mutex<(ChildStdin, ChildStdout)>,
    /// Ends when its standard input does, with this process.
    _child: Child,
}

impl Oracle {
    /// The one process of this test run; nothing where there is no Python.
    #[track_caller]
    pub fn start() -> Option<&'static Self> {
        static ORACLE: OnceLock<Option<Oracle>> = OnceLock::new();
        let python = program("python3")?;
        let oracle = ORACLE.get_or_init(|| {
            let mut child = Command::new(python.path)
                .args(["-c", include_str!("oracle.py")])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .ok()?;
            let pipes = Mutex::new((child.stdin.take()?, child.stdout.take()?));
            Some(Self { pipes, _child: child })
        });
        oracle.as_ref()
    }

    /// What zlib makes of the content when it is fed in pieces of `step` bytes; 0 is all at once.
    pub fn deflate(&self, level: u32, step: usize, content: &[u8]) -> Vec<u8> {
        self.ask(level, step, content)
    }

    /// What zlib reads in a stream; it ends when that is broken or does not end where its bytes do.
    pub fn inflate(&self, packed: &[u8]) -> Vec<u8> {
        self.ask(0, 0, packed)
    }

    fn ask(&self, level: u32, step: usize, content: &[u8]) -> Vec<u8> {
        let mut pipes = self.pipes.lock().unwrap();
        let (stdin, stdout) = &mut *pipes;
        for number in [level, step as u32, content.len() as u32] {
            stdin.write_all(&number.to_le_bytes()).unwrap();
        }
        stdin.write_all(content).unwrap();
        stdin.flush().unwrap();
        let mut length = [0; 4];
        stdout.read_exact(&mut length).unwrap();
        let mut answer = vec![0; u32::from_le_bytes(length) as usize];
        stdout.read_exact(&mut answer).unwrap();
        answer
    }
}
