//! A slow, plain reader of the upper levels of an export request: what is where, byte for byte.
//!
//! Included by tests and fuzz targets with `#[path]`. The oracle for what prost cannot show, because it drops unknown
//! fields and writes its own encoding. Panics on malformed input: it is asked about accepted requests only.
#![allow(dead_code, unreachable_pub, reason = "each includer uses its own share of this file")]

/// A message split into its own fields and its children.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group<T> {
    /// Stretches of fields that are not children, in order.
    pub own: Vec<Vec<u8>>,
    /// Children, in order.
    pub children: Vec<T>,
}

/// An item with tag and length.
pub type Item = Vec<u8>;
/// Scope group.
pub type Scope = Group<Item>;
/// Metric: its fields but its data; the data last in it, if any.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Metric {
    /// Stretches of fields that are not data, in order.
    pub own: Vec<Vec<u8>>,
    /// Tag of the data that counts, and its points.
    pub data: Option<(u64, Group<Item>)>,
}
/// Resource group.
pub type Resource = Group<Scope>;
/// Request.
pub type Request = Group<Resource>;

/// Reads a request.
pub fn request(message: &[u8]) -> Request {
    group(message, 1, |resource, _| {
        let scopes = |field| group(resource, field, |scope, _| group(scope, 2, |_, whole| whole.to_vec()));
        let current = scopes(2);
        if !current.children.is_empty() {
            // The deprecated field is passed on unread then, whatever is in it.
            return current;
        }
        let deprecated = scopes(1000);
        if deprecated.children.is_empty() { current } else { deprecated }
    })
}

/// (own fields of the resource group, of the scope group, item) of every item, in order.
pub fn items(request: &Request) -> Vec<(Vec<u8>, Vec<u8>, Item)> {
    let mut all = Vec::new();
    for resource in &request.children {
        for scope in &resource.children {
            for item in &scope.children {
                all.push((resource.own.concat(), scope.own.concat(), item.clone()));
            }
        }
    }
    all
}

/// Takes a metric apart.
pub fn metric(item: &Item) -> Metric {
    let (_, body) = field(item, &mut 0);
    // Gauge, sum, histogram, exponential histogram, summary.
    let data_tags = [42, 58, 74, 82, 90];
    let group = group_of(body, |tag| data_tags.contains(&tag), |body, whole| (whole[0], body.to_vec()));
    let data = group.children.into_iter().next_back();
    let data = data.map(|(tag, body)| (tag.into(), self::group(&body, 1, |_, whole| whole.to_vec())));
    Metric { own: group.own, data }
}

/// (tag, value) of every field; the value of a length-delimited field is without its length.
pub fn fields(message: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut fields = Vec::new();
    let mut at = 0;
    while at < message.len() {
        let (tag, value) = field(message, &mut at);
        fields.push((tag, value.to_vec()));
    }
    fields
}

fn group<T>(message: &[u8], child: u64, read: impl FnMut(&[u8], &[u8]) -> T) -> Group<T> {
    group_of(message, |tag| tag == child << 3 | 2, read)
}

fn group_of<T>(
    message: &[u8],
    is_child: impl Fn(u64) -> bool,
    mut read: impl FnMut(&[u8], &[u8]) -> T,
) -> Group<T> {
    let mut group = Group { own: Vec::new(), children: Vec::new() };
    let mut at = 0;
    let mut joined = false;
    while at < message.len() {
        let start = at;
        let (tag, body) = field(message, &mut at);
        let whole = &message[start..at];
        if is_child(tag) {
            joined = false;
            group.children.push(read(body, whole));
        } else if joined {
            group.own.last_mut().expect("joined to something").extend_from_slice(whole);
        } else {
            joined = true;
            group.own.push(whole.to_vec());
        }
    }
    group
}

fn field<'a>(message: &'a [u8], at: &mut usize) -> (u64, &'a [u8]) {
    let tag = varint(message, at);
    let mut start = *at;
    match tag & 7 {
        0 => drop(varint(message, at)),
        1 => *at += 8,
        2 => {
            let length = varint(message, at) as usize;
            start = *at;
            *at += length;
        }
        5 => *at += 4,
        other => panic!("wire type {other} was accepted"),
    }
    (tag, &message[start..*at])
}

fn varint(message: &[u8], at: &mut usize) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = message[*at];
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}
