//! Unix domain sockets: bind over a stale file, remove the own one.
//!
//! Stage: edge, part of `listen`.
//!
//! **The file.** A process that was killed leaves its socket file behind, and binding over it fails. Such a file is
//! removed first, but only if it is a socket and nobody listens on it; anything else is an error. (Go's `net.Listen`,
//! hence the Collector, fails over a stale file too.) On drop the file is removed if it still is the one that was
//! bound: a successor that has taken the path keeps it.
//!
//! **Permissions** are what the process's umask leaves of 0777, as with Go. Who may connect is decided by write
//! permission on the file, and by the directory it is in: put it where only those may look who shall connect.

use std::{
    io,
    os::unix::{
        fs::{FileTypeExt as _, MetadataExt as _},
        net::{SocketAddr, UnixListener as StdListener},
    },
    path::{Path, PathBuf},
};

use tokio::net::{UnixListener, UnixStream};

/// A bound Unix domain socket; its file lives as long as this.
#[derive(Debug)]
pub struct UnixSocket {
    pub(super) listener: UnixListener,
    /// Removed when this is dropped.
    _file: Option<File>,
}

/// The file of a socket, and its [`identity`].
#[derive(Debug)]
struct File {
    path: PathBuf,
    identity: (u64, u64),
}

impl UnixSocket {
    /// Binds a path; on Linux, a name that begins with `@` is an abstract one, without a file, as in Go.
    pub(super) async fn bind(path: &str) -> io::Result<Self> {
        let (address, file) = address(path)?;
        let mut bound = StdListener::bind_addr(&address);
        if let (Err(error), Some(file)) = (&bound, file)
            && error.kind() == io::ErrorKind::AddrInUse
            && is_stale(file).await
        {
            std::fs::remove_file(file)?;
            bound = StdListener::bind_addr(&address);
        }
        let bound = bound?;
        bound.set_nonblocking(true)?;
        let file = match file {
            Some(path) => Some(File { path: path.to_owned(), identity: identity(path)? }),
            None => None,
        };
        Ok(Self { listener: UnixListener::from_std(bound)?, _file: file })
    }
}

/// The address of a path, and the path if it has a file.
fn address(path: &str) -> io::Result<(SocketAddr, Option<&Path>)> {
    #[cfg(target_os = "linux")]
    if let Some(name) = path.strip_prefix('@') {
        use std::os::linux::net::SocketAddrExt as _;
        return Ok((SocketAddr::from_abstract_name(name)?, None));
    }
    let path = Path::new(path);
    Ok((SocketAddr::from_pathname(path)?, Some(path)))
}

/// Whether a path is a socket that nobody listens on.
async fn is_stale(path: &Path) -> bool {
    let is_socket = path.symlink_metadata().is_ok_and(|found| found.file_type().is_socket());
    // Does not wait: a listener's backlog takes the connection, or says at once that it is full.
    is_socket
        && UnixStream::connect(path)
            .await
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// Device and inode: what tells a file from another one under the same path.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    path.symlink_metadata().map(|found| (found.dev(), found.ino()))
}

impl Drop for File {
    fn drop(&mut self) {
        let is_own = identity(&self.path).is_ok_and(|found| found == self.identity);
        if is_own && let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the socket file was not removed");
        }
    }
}
