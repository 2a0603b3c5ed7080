// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Reputations of addresses, by category, for `iprep`. Suricata user guide, "IP Reputation".
//!
//! The file of categories has `number,short name,description` on each line, those of reputations
//! `address or network,number of the category,score`; `#` opens a comment line. Must never take a line in part: one that is
//! odd is told, and left out. Limits: [`MAX_CATEGORIES`], [`MAX_ENTRIES`], [`MAX_LIST`].

use std::{collections::HashMap, io::Read, net::IpAddr, path::Path, sync::Arc};

use ipnet::IpNet;

use crate::ast::{Ends, Interval};

/// Most categories, as in Suricata. Threat: a wrong file read as categories.
pub const MAX_CATEGORIES: u8 = 60;
/// Most addresses and networks of all lists. Threat: a feed that has become a dump of the Internet fills the memory.
pub const MAX_ENTRIES: usize = 4_000_000;
/// Largest list, in bytes. Threat: a wrong path (a capture, a device) read whole.
pub const MAX_LIST: u64 = 256 << 20;
/// The highest score.
pub const MAX_SCORE: u8 = 127;

/// What lists say of addresses in one category.
#[derive(Debug, Default)]
pub struct Category {
    name: String,
    /// By length of the prefix, the longest first. IPv4 stands in IPv6's notation for it.
    prefixes: Vec<(u8, HashMap<u128, u8>)>,
}

impl Category {
    /// The score of an address: what is said of it, or else of the smallest network that holds it.
    pub fn score(&self, ip: IpAddr) -> Option<u8> {
        let ip = wide(ip);
        self.prefixes.iter().find_map(|(len, of)| of.get(&(ip & mask(*len))).copied())
    }

    fn put(&mut self, len: u8, network: u128, score: u8) -> bool {
        let at = match self.prefixes.binary_search_by(|(had, _)| len.cmp(had)) {
            Ok(at) => at,
            Err(at) => {
                self.prefixes.insert(at, (len, HashMap::new()));
                at
            }
        };
        self.prefixes.get_mut(at).is_some_and(|(_, of)| of.insert(network & mask(len), score).is_none())
    }
}

fn wide(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

const fn mask(len: u8) -> u128 {
    match len {
        0 => 0,
        1..=127 => u128::MAX << (128 - len),
        _ => u128::MAX,
    }
}

/// All lists.
#[derive(Clone, Debug, Default)]
pub struct Reputations(HashMap<u8, Arc<Category>>);

impl Reputations {
    /// Reads the file of categories and the lists. Beside them what was odd: the file and a sentence.
    ///
    /// # Errors
    /// A sentence for the operator, where a file cannot be read.
    pub fn read<P: AsRef<Path>>(categories: &Path, lists: &[P]) -> Result<(Self, Vec<String>), String> {
        let names = text(categories)?;
        let texts: Result<Vec<(String, String)>, String> =
            lists.iter().map(|p| Ok((p.as_ref().display().to_string(), text(p.as_ref())?))).collect();
        let texts = texts?;
        let (mut odd, all) = (Vec::new(), texts.iter().map(|(n, t)| (n.as_str(), t.as_str())));
        Ok((Self::of(&categories.display().to_string(), &names, all, MAX_ENTRIES, &mut odd), odd))
    }

    fn of<'t>(
        file: &str,
        names: &str,
        lists: impl Iterator<Item = (&'t str, &'t str)>,
        most: usize,
        odd: &mut Vec<String>,
    ) -> Self {
        let mut all: HashMap<u8, Category> = HashMap::new();
        for (n, line) in lines(names) {
            let mut fields = line.splitn(3, ',').map(str::trim);
            let number = fields.next().and_then(|f| f.parse::<u8>().ok()).filter(|n| (1..MAX_CATEGORIES).contains(n));
            match (number, fields.next().filter(|name| !name.is_empty())) {
                (Some(number), Some(name)) => {
                    all.insert(number, Category { name: name.to_owned(), ..Category::default() });
                }
                _ => tell(odd, file, n, "is no category: number from 1 to 59, short name, description"),
            }
        }
        let mut count = 0;
        for (file, text) in lists {
            for (n, line) in lines(text) {
                let fields: Vec<&str> = line.split(',').map(str::trim).collect();
                let Some((net, category, score)) = entry(&fields) else {
                    tell(odd, file, n, "is no entry: address or network, number of the category, score from 0 to 127");
                    continue;
                };
                let Some(category) = all.get_mut(&category) else {
                    tell(odd, file, n, "names a category that the file of categories does not have");
                    continue;
                };
                if count == most {
                    tell(odd, file, n, "is one too many: it and what follows are left out");
                    break;
                }
                let (len, network) = match net {
                    IpNet::V4(net) => (net.prefix_len() + 96, wide(net.network().into())), // at most 128
                    IpNet::V6(net) => (net.prefix_len(), wide(net.network().into())),
                };
                count += usize::from(category.put(len, network, score));
            }
        }
        Self(all.into_iter().map(|(n, c)| (n, Arc::new(c))).collect())
    }

    /// The category of that short name.
    pub fn category(&self, name: &str) -> Option<&Arc<Category>> {
        self.0.values().find(|c| c.name == name)
    }
}

fn entry(fields: &[&str]) -> Option<(IpNet, u8, u8)> {
    let [net, category, score] = fields else { return None };
    let net = net.parse::<IpNet>().or_else(|_| net.parse::<IpAddr>().map(IpNet::from)).ok()?;
    Some((net, category.parse().ok()?, score.parse().ok().filter(|s| *s <= MAX_SCORE)?))
}

fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().map(str::trim).enumerate().filter(|(_, l)| !l.is_empty() && !l.starts_with('#'))
}

// The first hundred are enough to know.
fn tell(odd: &mut Vec<String>, file: &str, line: usize, what: &str) {
    if odd.len() < 100 {
        odd.push(format!("line {} of {file} {what}", line + 1));
    }
}

fn text(path: &Path) -> Result<String, String> {
    let told = |e: std::io::Error| format!("the list {} cannot be read: {e}", path.display());
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(told)?.take(MAX_LIST + 1).read_to_end(&mut bytes).map_err(told)?;
    if bytes.len() as u64 > MAX_LIST {
        return Err(format!("the list {} is larger than {MAX_LIST} bytes", path.display()));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// `iprep`: what lists say of the packet's addresses.
#[derive(Clone, Debug)]
pub struct ReputationTest {
    /// Whose address is asked for.
    pub ends: Ends,
    /// In which category.
    pub category: Arc<Category>,
    /// What the score must be; None: there must be none (`isnotset`).
    pub score: Option<Interval>,
}

impl ReputationTest {
    /// Whether it holds. An address of which nothing is said has no score.
    pub fn matches(&self, src: IpAddr, dest: IpAddr) -> bool {
        self.ends.hold(src, dest, |ip| match (self.category.score(ip), self.score) {
            (Some(had), Some(wanted)) => wanted.matches(had.into()),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        })
    }
}

impl PartialEq for ReputationTest {
    fn eq(&self, other: &Self) -> bool {
        (self.ends, self.score) == (other.ends, other.score) && Arc::ptr_eq(&self.category, &other.category)
    }
}

impl Eq for ReputationTest {}

impl std::hash::Hash for ReputationTest {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.ends, self.score, &self.category.name).hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &str = "# categories\n1,Bad,known to be bad\n2,Good,\n0,Zero,none\n60,High,none\n3\n";

    fn of(list: &str, most: usize) -> (Reputations, Vec<String>) {
        let mut odd = Vec::new();
        let all = Reputations::of("names", NAMES, [("list", list)].into_iter(), most, &mut odd);
        (all, odd)
    }

    #[test]
    fn the_smallest_network_speaks_for_an_address() {
        let list =
            "192.0.2.0/24,1,20\n192.0.2.7,1,90\n0.0.0.0/0,1,1\n2001:db8::/32,1,50\n192.0.2.7,2,5\n#192.0.2.9,1,3\n";
        let (all, odd) = of(list, 100);
        assert_eq!(odd.len(), 3, "{odd:?}"); // of the names
        let bad = all.category("Bad").expect("a category");
        for (ip, want) in [
            ("192.0.2.7", Some(90)),
            ("192.0.2.9", Some(20)),
            ("198.51.100.1", Some(1)),
            ("2001:db8::1", Some(50)),
            ("2001:db9::1", None),
        ] {
            assert_eq!(bad.score(ip.parse().expect("an address")), want, "{ip}");
        }
        let good = all.category("Good").expect("a category");
        assert_eq!(good.score("192.0.2.7".parse().expect("an address")), Some(5));
        assert!(all.category("Zero").is_none() && all.category("bad").is_none());
    }

    #[test]
    fn odd_lines_are_told_and_left_out() {
        for (line, why) in [
            ("192.0.2.1,1", "no entry"),
            ("192.0.2.1,1,128", "no entry"),
            ("192.0.2.300,1,1", "no entry"),
            ("192.0.2.1,7,1", "does not have"),
        ] {
            let (all, odd) = of(line, 100);
            assert!(odd.last().is_some_and(|o| o.contains(why) && o.contains("line 1 of list")), "{line}: {odd:?}");
            assert!(all.category("Bad").is_some_and(|c| c.prefixes.is_empty()));
        }
    }

    /// A file of this text in a folder of its own, which goes with it.
    fn files(test: &str, texts: &[(&str, &str)]) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("lagewarte-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        for (name, text) in texts {
            std::fs::write(folder.join(name), text).expect("written");
        }
        folder
    }

    #[test]
    fn lists_are_read_from_files_and_a_missing_one_is_told() {
        let folder =
            files("reputation", &[("names", "1,CnC,c2\n"), ("a", "192.0.2.1,1,9\n"), ("b", "x\n192.0.2.2, 1, 8\n")]);
        let at = |name: &str| folder.join(name);
        let (all, odd) = Reputations::read(&at("names"), &[at("a"), at("b")]).expect("lists");
        let of = |ip: &str| all.category("CnC").and_then(|c| c.score(ip.parse().expect("an address")));
        assert_eq!((of("192.0.2.1"), of("192.0.2.2"), of("192.0.2.3")), (Some(9), Some(8), None));
        assert!(odd.len() == 1 && odd[0].contains("line 1 of") && odd[0].contains("/b "), "{odd:?}");
        for (names, list) in [("none", "a"), ("names", "none")] {
            let got = Reputations::read(&at(names), &[at(list)]);
            assert!(got.is_err_and(|e| e.contains("cannot be read") && e.contains("none")));
        }
        let _ = std::fs::remove_dir_all(&folder);
    }

    #[test]
    fn only_the_first_hundred_odd_lines_are_told() {
        let (_, odd) = of(&"x\n".repeat(500), 100);
        assert_eq!(odd.len(), 100);
    }

    /// Suricata user guide, "IP Reputation Keyword": an address of which nothing is said has no score to compare.
    #[test]
    fn a_score_is_asked_of_either_end_or_both() {
        let (all, _) = of("192.0.2.1,1,50\n192.0.2.2,1,50\n", 100);
        let options = crate::Options { reputations: Some(Arc::new(all)), ..crate::Options::default() };
        let test = |value: &str| {
            let rule = format!("alert ip any any -> any any (iprep:{value}; sid:1;)");
            let set = crate::parse(&[("r", rule.as_bytes())], &options);
            assert_eq!(set.refused, [], "{value}");
            let crate::ast::PacketTest::Reputation(test) = set.rules[0].packet[0].clone() else { panic!("{value}") };
            test
        };
        for (value, bad_to_good, good_to_bad, both_bad, both_good) in [
            ("src,Bad,>,30", true, false, true, false),
            ("src,Bad,>,50", false, false, false, false),
            ("src,Bad,>=,50", true, false, true, false),
            ("dst,Bad,=,50", false, true, true, false),
            ("any,Bad,<,51", true, true, true, false),
            ("both,Bad,<=,50", false, false, true, false),
            ("any,Bad,isset", true, true, true, false),
            ("src,Bad,isnotset", false, true, false, true),
            ("both,Bad,isnotset", false, false, false, true),
        ] {
            let asks = test(value);
            let on = |src: &str, dest: &str| {
                asks.matches(src.parse().expect("an address"), dest.parse().expect("an address"))
            };
            let (bad, other, good, fine) = ("192.0.2.1", "192.0.2.2", "198.51.100.1", "198.51.100.2");
            let got = (on(bad, good), on(good, bad), on(bad, other), on(good, fine));
            assert_eq!(got, (bad_to_good, good_to_bad, both_bad, both_good), "{value}");
        }
        assert!(test("src,Bad,>,30") == test("src,Bad,>,30") && test("src,Bad,>,30") != test("src,Good,>,30"));
        let asked = |values: &[&str]| values.iter().map(|v| test(v)).collect::<std::collections::HashSet<_>>().len();
        assert_eq!(
            asked(&["src,Bad,>,30", "src,Bad,>,30", "src,Bad,>,31", "dst,Bad,>,30"]),
            3,
            "the same question is asked once"
        );
    }

    #[test]
    fn more_entries_than_the_cap_are_left_out_and_told() {
        let list: String = (0..20).map(|n| format!("192.0.2.{n},1,1\n")).collect();
        let (all, odd) = of(&list, 10);
        let there = |n: u8| all.category("Bad").and_then(|c| c.score(IpAddr::from([192, 0, 2, n]))).is_some();
        assert_eq!((0..20).filter(|n| there(*n)).count(), 10);
        assert!(odd.last().is_some_and(|o| o.contains("one too many")));
    }
}
