//! Where items have to be, and whether they are.

use std::collections::BTreeMap;
use std::fmt;

use super::BACKENDS;
use crate::agreement::items::Item;
use crate::gateway::Kind;

/// What arrived under each number: backend and item, as often as it came.
pub(super) type Arrivals = BTreeMap<u64, Vec<(usize, Item)>>;

/// Where an item has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expected {
    /// At this backend, because of these key bytes.
    At(usize, Vec<u8>),
    /// A metric without points that nothing with points goes along with, out of its request, to this backend. The Collector
    /// sends such a request; ringway drops what is as good as empty, and counts it.
    Hollow(usize, Vec<u8>),
    /// Once, at any backend.
    Anywhere,
    /// At none.
    Nowhere,
}

impl Expected {
    /// The backend of an item that has a key.
    pub(super) fn owner(&self) -> Option<usize> {
        match self {
            Self::At(owner, _) | Self::Hollow(owner, _) => Some(*owner),
            Self::Anywhere | Self::Nowhere => None,
        }
    }

    /// Whether that is where `who` takes the item.
    fn fits(&self, who: Kind, backends: &[usize]) -> bool {
        match self {
            Self::At(owner, _) => backends == [*owner],
            Self::Hollow(owner, _) if who == Kind::Collector => backends == [*owner],
            Self::Hollow(..) => backends.is_empty(),
            Self::Anywhere => backends.len() == 1,
            Self::Nowhere => backends.is_empty(),
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(owner, key) => write!(f, "at backend {owner} by key {:?}", String::from_utf8_lossy(key)),
            Self::Hollow(owner, _) => write!(f, "at backend {owner} through the Collector, else nowhere"),
            Self::Anywhere => f.write_str("once, anywhere"),
            Self::Nowhere => f.write_str("nowhere"),
        }
    }
}

/// Everything about the arrivals that is not as expected. `contents`: what each item has to hold, if that matters.
pub(super) fn problems_of(
    who: Kind,
    expected: &BTreeMap<u64, Expected>,
    arrivals: &Arrivals,
    contents: Option<&BTreeMap<u64, u64>>,
) -> Vec<String> {
    let mut problems = Vec::new();
    for (number, expected) in expected {
        let arrived = arrivals.get(number).map(Vec::as_slice).unwrap_or_default();
        let backends: Vec<usize> = arrived.iter().map(|(sink, _)| *sink).collect();
        if !expected.fits(who, &backends) {
            problems
                .push(format!("{who:?}: item {number} is at backends {backends:?}; it should be {expected}"));
        }
        if let Some(contents) = contents
            && arrived.iter().any(|(_, item)| contents.get(number) != Some(&item.contents))
        {
            problems.push(format!("{who:?}: item {number} is not what it was"));
        }
    }
    let unknown = arrivals.keys().filter(|number| !expected.contains_key(*number));
    problems.extend(unknown.map(|number| format!("{who:?}: item {number} was never sent in this case")));
    problems
}

/// Backends at which nothing with a key arrived.
pub(super) fn idle(expected: &BTreeMap<u64, Expected>, arrivals: &Arrivals) -> impl Iterator<Item = usize> {
    let mut busy = [false; BACKENDS];
    for (number, arrived) in arrivals {
        if matches!(expected.get(number), Some(Expected::At(..))) {
            for (sink, _) in arrived {
                busy[*sink] = true;
            }
        }
    }
    (0..BACKENDS).filter(move |sink| !busy[*sink])
}

#[test]
fn each_kind_of_disagreement_is_seen() {
    // Scenario: a correct delivery, and the same with an item lost, doubled, elsewhere, changed, invented, or delivered
    // although it is to be dropped; and one that leaves a backend idle.
    // Guarantees: the comparison above accepts the first and names every other.
    let expected = BTreeMap::from([
        (1, Expected::At(0, b"k".to_vec())),
        (2, Expected::Anywhere),
        (3, Expected::Nowhere),
        (4, Expected::At(1, Vec::new())),
        (5, Expected::Hollow(2, Vec::new())),
    ]);
    let contents = BTreeMap::from([(1, 11), (2, 22), (3, 33), (4, 44)]);
    let check = |deliveries: &[(u64, usize, u64)]| {
        let mut arrivals = Arrivals::new();
        for (number, sink, contents) in deliveries {
            let item = Item { number: *number, contents: *contents };
            arrivals.entry(*number).or_default().push((*sink, item));
        }
        let idle: Vec<usize> = idle(&expected, &arrivals).collect();
        (problems_of(Kind::Ringway, &expected, &arrivals, Some(&contents)), idle)
    };
    let right = [(1, 0, 11), (2, 3, 22), (4, 1, 44)];
    assert_eq!(check(&right), (Vec::new(), vec![2, 3, 4]));
    let with = |more: &[(u64, usize, u64)]| check(&[right.as_slice(), more].concat()).0;
    assert_eq!(with(&[(3, 0, 33)]), ["Ringway: item 3 is at backends [0]; it should be nowhere"]);
    assert_eq!(with(&[(2, 3, 22)]), ["Ringway: item 2 is at backends [3, 3]; it should be once, anywhere"]);
    assert_eq!(
        with(&[(5, 2, 0)])[0],
        "Ringway: item 5 is at backends [2]; it should be at backend 2 through the Collector, else nowhere"
    );
    assert_eq!(with(&[(6, 3, 22)]), ["Ringway: item 6 was never sent in this case"]);
    assert_eq!(
        check(&[right[0], right[1]]).0,
        [r#"Ringway: item 4 is at backends []; it should be at backend 1 by key """#]
    );
    assert_eq!(
        check(&[(1, 1, 11), right[1], right[2]]).0,
        [r#"Ringway: item 1 is at backends [1]; it should be at backend 0 by key "k""#]
    );
    assert_eq!(check(&[(1, 0, 12), right[1], right[2]]).0, ["Ringway: item 1 is not what it was"]);
}
