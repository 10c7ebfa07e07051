//! A hook's process: its group, its pipe, its end.

use std::io::{self, PipeReader, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use super::HookOutcome;

/// How often a running hook is looked at where its output says nothing.
pub(super) const LOOK: Duration = Duration::from_millis(20);

/// Starts a command whose output, both streams, comes through one pipe.
pub(super) fn start(mut command: Command) -> io::Result<(Child, PipeReader)> {
    let (reader, writer) = io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let child = command.spawn()?;
    // the command holds the pipe's writing ends; without them gone the pipe would never end
    drop(command);
    rustix::io::ioctl_fionbio(&reader, true)?;
    Ok((child, reader))
}

/// The output as far as it is kept.
pub(super) struct Output {
    pub kept: Vec<u8>,
    pub truncated: bool,
    pub limit: usize,
}

impl Output {
    fn take(&mut self, bytes: &[u8]) {
        let room = self.limit - self.kept.len();
        self.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.truncated |= bytes.len() > room;
    }

    /// Reads once; false at the end of the pipe or when there is nothing to read now.
    fn read(&mut self, pipe: &mut PipeReader) -> io::Result<bool> {
        let mut chunk = [0; 16 * 1024];
        match pipe.read(&mut chunk) {
            Ok(length) => {
                self.take(&chunk[..length]);
                Ok(length > 0)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(error),
        }
    }
}

/// Waits for the end of a child, or ends it; whatever is left of its group is killed.
pub(super) fn watch(
    mut child: Child,
    mut pipe: PipeReader,
    (started, limit): (Instant, Duration),
    must_stop: &dyn Fn() -> bool,
    output: &mut Output,
) -> io::Result<HookOutcome> {
    let group = Pid::from_child(&child);
    let mut cut_short = None;
    while !has_ended(group)? {
        cut_short = if must_stop() {
            Some(HookOutcome::Interrupted)
        } else {
            (started.elapsed() >= limit).then_some(HookOutcome::TimedOut(limit))
        };
        if cut_short.is_some() {
            break;
        }
        wait_for_output(&pipe)?;
        if !output.read(&mut pipe)? {
            std::thread::sleep(LOOK.min(limit.saturating_sub(started.elapsed())) / 4);
        }
    }
    // The leader is not reaped yet, so its process group's number cannot have been given to
    // somebody else. Absent where all of the group has ended.
    let _ = rustix::process::kill_process_group(group, Signal::KILL);
    let status = child.wait()?;
    // what still writes has left the group for good and is not waited for
    for _ in 0..64 {
        if !output.read(&mut pipe)? {
            break;
        }
    }
    Ok(cut_short.unwrap_or_else(|| outcome(status)))
}

/// Whether the process has ended, without reaping it.
fn has_ended(pid: Pid) -> io::Result<bool> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    Ok(rustix::process::waitid(WaitId::Pid(pid), options)?.is_some())
}

fn wait_for_output(pipe: &PipeReader) -> io::Result<()> {
    let mut waited = [PollFd::new(pipe, PollFlags::IN)];
    let timeout = rustix::event::Timespec::try_from(LOOK).map_err(io::Error::other)?;
    match rustix::event::poll(&mut waited, Some(&timeout)) {
        Err(rustix::io::Errno::INTR) | Ok(_) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn outcome(status: ExitStatus) -> HookOutcome {
    match (status.code(), status.signal()) {
        (Some(0), _) => HookOutcome::Success,
        (Some(code), _) => HookOutcome::Exit(code),
        (None, signal) => HookOutcome::Signal(signal.unwrap_or_default()),
    }
}
