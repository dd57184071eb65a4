//! `resolver.file`, ours: a text file with one endpoint in each line.
//!
//! Stage: resolver. For whatever can write a file: a script, a configuration management, another discovery. The file is looked
//! at from time to time, not watched: that works on every file system and through every kind of replacement.
//!
//! **A file never empties the ring by accident.** One that is missing, cannot be read or has a line that is no endpoint leaves
//! the last good set in force, as a whole; so does one without any endpoint, which is what a half-written file looks like.
//! An empty set is the single line `none`. Writers should write a new file and rename it over the old one.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};

use super::{
    EndpointSet,
    source::{Failure, Publisher, sorted},
};
use crate::model::Endpoint;

/// Larger files are not used.
const BYTES_MAX: u64 = 1 << 20;
/// Endpoints of one file, duplicates included: far more than a ring has room for (G3: 131,071 positions, 200 an endpoint).
const ENDPOINTS_MAX: usize = 10_000;

/// What stands for an empty set.
const NONE: &str = "none";

/// Follows one file until nobody listens any more.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    interval: Duration,
    publisher: Publisher,
}

impl File {
    /// Reads the file once, so that a good one is in force at once.
    pub(super) fn open(path: &Path, interval: Duration, publisher: Publisher) -> Self {
        let file = Self { path: path.to_owned(), interval, publisher };
        file.look();
        file
    }

    pub(super) async fn follow(self) {
        let mut looks = interval(self.interval);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first look was taken by `open`.
        looks.tick().await;
        loop {
            tokio::select! {
                () = self.publisher.closed() => return,
                _tick = looks.tick() => self.look(),
            }
        }
    }

    /// A file of some kilobytes, mostly in the page cache: reading it takes some microseconds.
    fn look(&self) {
        match read(&self.path).and_then(|text| parse(&text)) {
            Ok(set) => {
                let repeated = repeated(&set);
                if self.publisher.answer(set)
                    && let Some((endpoint, line_count)) = repeated
                {
                    tracing::warn!(
                        path = %self.path.display(),
                        endpoint,
                        repeated_lines = line_count,
                        "the file lists endpoints more than once; duplicates stay on the ring and distort the shares"
                    );
                }
            }
            Err(message) => self.publisher.failed(Failure { code: "unusable", message }),
        }
    }
}

/// The whole text. What is no regular file is not opened: reading a pipe could take for ever.
fn read(path: &Path) -> Result<String, String> {
    let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let file = fs::File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > BYTES_MAX) {
        return Err(format!("it has more than {BYTES_MAX} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}

/// An endpoint that several lines name, and how many lines repeat an earlier one.
fn repeated(set: &EndpointSet) -> Option<(String, usize)> {
    let mut repeats = set.windows(2).filter_map(|pair| match pair {
        [first, second] if first.identity() == second.identity() => Some(second.identity()),
        _ => None,
    });
    let first = repeats.next()?;
    Some((first.to_owned(), 1 + repeats.count()))
}

/// The endpoints, sorted bytewise, duplicates kept, as those of a static list.
fn parse(text: &str) -> Result<EndpointSet, String> {
    let mut set = EndpointSet::new();
    let mut is_none = false;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default().trim();
        match line {
            "" => {}
            NONE => is_none = true,
            _ if line.contains(char::is_whitespace) => {
                return Err(format!("line {number}: one endpoint expected, found {line:?}"));
            }
            _ if line.contains("://") || line.starts_with("unix:") => {
                return Err(format!("line {number}: {line:?} is not supported: host or host:port is"));
            }
            _ if set.len() == ENDPOINTS_MAX => {
                return Err(format!("line {number}: more than {ENDPOINTS_MAX} endpoints"));
            }
            _ => set.push(Endpoint::new(line)),
        }
    }
    if is_none && !set.is_empty() {
        return Err(format!("`{NONE}` stands beside {} endpoints", set.len()));
    }
    if set.is_empty() && !is_none {
        return Err(format!("no endpoint in it; the line `{NONE}` stands for an empty set"));
    }
    Ok(sorted(set))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        resolver::{State, source::tests::publisher},
        tasks::Tasks,
    };

    #[track_caller]
    fn check(text: &str, expect: Result<&[&str], &str>) {
        let got = parse(text).map(|set| set.iter().map(|one| one.identity().to_owned()).collect::<Vec<_>>());
        let expect = expect.map(|set| set.iter().map(|&one| one.to_owned()).collect()).map_err(str::to_owned);
        assert_eq!(got, expect, "{text:?}");
    }

    // Scenario: files with comments, blank lines, duplicates and every kind of fault.
    // Guarantees: the set is that of the lines, sorted; one bad line spoils the whole file and is named; only `none` is empty.
    #[test]
    fn lines_are_endpoints() {
        check("b:1\n a \n\n# c:1\na # twice\n", Ok(&["a", "a", "b:1"]));
        check("none\n", Ok(&[]));
        check("a b\n", Err("line 1: one endpoint expected, found \"a b\""));
        check("a\nhttp://b\n", Err("line 2: \"http://b\" is not supported: host or host:port is"));
        check("a\nnone\n", Err("`none` stands beside 1 endpoints"));
        for empty in ["", "\n", "# nothing\n"] {
            check(empty, Err("no endpoint in it; the line `none` stands for an empty set"));
        }
        check("a\r\nunix:///b\r\n", Err("line 2: \"unix:///b\" is not supported: host or host:port is"));
        let most = "a\n".repeat(ENDPOINTS_MAX);
        assert_eq!(parse(&most).unwrap().len(), ENDPOINTS_MAX);
        check(&format!("{most}# one more\nb\n"), Err("line 10002: more than 10000 endpoints"));
    }

    // Scenario: sets without and with endpoints that stand in several lines.
    // Guarantees: one of them is named, with the number of lines beyond the first of each.
    #[test]
    fn repeated_endpoints_are_found() {
        let of = |text: &str| repeated(&parse(text).unwrap());
        assert_eq!(of("b\na\n"), None);
        assert_eq!(of("b\na\nb\na\na\n"), Some(("a".to_owned(), 3)));
    }

    // Scenario: what cannot be a file of endpoints: nothing, a folder, other bytes than text, too much of it, just enough.
    // Guarantees: each is refused with its reason, without reading more than the limit.
    #[test]
    fn only_texts_of_bounded_size_are_read() {
        let folder = std::env::temp_dir().join(format!("ringway-endpoints-read-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        assert_eq!(read(&folder), Err("it is not a regular file".to_owned()));
        let path = folder.join("endpoints");
        assert!(read(&path).unwrap_err().contains("No such file"));
        let limit = usize::try_from(BYTES_MAX).unwrap();
        for (bytes, expect) in [
            (b"\xff\n".to_vec(), Err("it is not UTF-8".to_owned())),
            (vec![b'#'; limit], Ok("#".repeat(limit))),
            (vec![b'#'; limit + 1], Err("it has more than 1048576 bytes".to_owned())),
        ] {
            fs::write(&path, bytes).unwrap();
            assert_eq!(read(&path), expect);
        }
        fs::remove_dir_all(&folder).unwrap();
    }

    // Scenario: a file is missing, is written, damaged, emptied, removed, and says `none`.
    // Guarantees: a change is seen within an interval; a fault is counted and keeps the last good set; the task ends with the
    // last listener.
    #[tokio::test(start_paused = true)]
    async fn faults_keep_the_last_good_set() {
        let path = std::env::temp_dir().join(format!("ringway-endpoints-{}", std::process::id()));
        drop(fs::remove_file(&path));
        let tasks = Tasks::new();
        let (publisher, mut answers, status, metrics) = publisher("file");
        let file = File::open(&path, Duration::from_secs(5), publisher);
        assert_eq!((answers.borrow_and_update().clone(), metrics.failures("unusable")), (None, 1));
        assert_eq!(status.snapshot().state, State::Waiting);
        tasks.spawn("resolver", file.follow());
        let mut seen = async |text: Option<&str>| {
            match text {
                Some(text) => fs::write(&path, text).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            tokio::time::sleep(Duration::from_secs(6)).await;
            let answer = answers.borrow_and_update().clone();
            answer.map(|answer| {
                answer.endpoints.iter().map(|one| one.identity().to_owned()).collect::<Vec<_>>().join(",")
            })
        };
        assert_eq!(seen(Some("b:1\na:1\n")).await.as_deref(), Some("a:1,b:1"));
        let failed = metrics.failures("unusable");
        assert_eq!(seen(Some("a:1\nhttp://x\n")).await.as_deref(), Some("a:1,b:1"));
        assert_eq!(seen(Some("")).await.as_deref(), Some("a:1,b:1"));
        assert_eq!(seen(None).await.as_deref(), Some("a:1,b:1"));
        assert!(metrics.failures("unusable") >= failed + 3);
        assert_eq!(seen(Some("none\n")).await.as_deref(), Some(""));
        drop(fs::remove_file(&path));
        drop(answers);
        tokio::time::timeout(Duration::from_secs(60), tasks.ended()).await.unwrap();
    }
}
