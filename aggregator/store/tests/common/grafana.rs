// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The macros of Grafana's ClickHouse plugin, expanded as its documentation says: for tests and measurements, which have
//! no Grafana. Must fail on a macro that it does not know.

/// Expands a panel's macros for `[from, to]` (seconds) in steps of `interval` seconds; None: all constituents.
pub(crate) fn expand(sql: &str, from: i64, to: i64, interval: i64, constituent: Option<&str>) -> String {
    let mut out = sql.to_owned();
    while let Some(at) = out.find("$__") {
        let name_end = at + 3 + out[at + 3..].find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap();
        let name = out[at..name_end].to_owned();
        let (argument, end) = if out[name_end..].starts_with('(') {
            let mut depth = 0;
            let close = out[name_end..].char_indices().find(|(_, c)| {
                depth += match c {
                    '(' => 1,
                    ')' => -1,
                    _ => 0,
                };
                depth == 0
            });
            let close = name_end + close.unwrap().0;
            (out[name_end + 1..close].to_owned(), close + 1)
        } else {
            (String::new(), name_end)
        };
        let value = match name.as_str() {
            "$__timeFilter" => format!("{argument} >= toDateTime({from}) AND {argument} <= toDateTime({to})"),
            "$__timeInterval" => format!("toStartOfInterval(toDateTime({argument}), INTERVAL {interval} second)"),
            "$__fromTime" => format!("toDateTime({from})"),
            "$__toTime" => format!("toDateTime({to})"),
            "$__interval_s" => interval.to_string(),
            "$__conditionalAll" => {
                let (condition, variable) = argument.rsplit_once(',').unwrap();
                assert_eq!(variable.trim(), "$constituent");
                match constituent {
                    None => "1=1".into(),
                    Some(c) => condition.replace("${constituent:singlequote}", &format!("'{c}'")),
                }
            }
            unknown => panic!("{unknown} is no macro that this test knows: {sql}"),
        };
        out.replace_range(at..end, &value);
    }
    assert!(!out.contains('$'), "{out}");
    out
}
