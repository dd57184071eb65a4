//! Who runs beside whom, and what is printed.

/// Held by tests that run together (shared) or by themselves (exclusive). Fair: whoever asked first is next.
static ROOM: tokio::sync::RwLock<()> = tokio::sync::RwLock::const_new(());

/// Serialises the tests: each starts up to six processes, and two at once on a small machine would measure each other.
pub(crate) async fn alone() -> tokio::sync::RwLockWriteGuard<'static, ()> {
    ROOM.write().await
}

/// For tests that mostly wait, at a load that leaves most of the machine idle: they run beside each other, as many as there
/// are test threads, but never beside one that wants to be alone.
pub(crate) async fn together() -> tokio::sync::RwLockReadGuard<'static, ()> {
    ROOM.read().await
}

/// Prints what a test measured; shown with `--nocapture`, and when a test fails.
#[expect(clippy::print_stdout, reason = "a test's figures belong to its output")]
pub(crate) fn report(line: impl AsRef<str>) {
    println!("{}", line.as_ref());
}
