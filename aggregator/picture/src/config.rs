// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Section `picture` of the aggregator's configuration.
//!
//! Must never accept a value with which a published rule would mean something else than it says.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error};

/// How often the picture is made, and when alerts are a campaign.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct PictureConfig {
    /// Milliseconds between two ticks. 50 to 60,000.
    pub interval_ms: u64,
    /// When alerts are a campaign.
    pub campaign: CampaignConfig,
}

/// When alerts are a campaign.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct CampaignConfig {
    /// Fewest constituents. At least 2: one alone is no campaign.
    pub k: usize,
    /// Within what time, by the events' own: `90s`, `30m`, `1h`. 1 minute to 24 hours.
    #[serde(deserialize_with = "duration")]
    pub window: Duration,
    /// How long without an alert until it is closed. Not shorter than the window; 7 days at most.
    #[serde(deserialize_with = "duration")]
    pub close_after: Duration,
}

impl Default for PictureConfig {
    fn default() -> Self {
        Self { interval_ms: 500, campaign: CampaignConfig::default() }
    }
}

impl Default for CampaignConfig {
    fn default() -> Self {
        Self { k: 3, window: Duration::from_secs(3600), close_after: Duration::from_secs(24 * 3600) }
    }
}

impl PictureConfig {
    /// Checks what the types do not.
    ///
    /// # Errors
    /// A sentence that names the key, what is wrong and what would be right.
    pub fn check(&self) -> Result<(), String> {
        let c = &self.campaign;
        let minute = Duration::from_secs(60);
        if !(50..=60_000).contains(&self.interval_ms) {
            return Err(format!("picture.interval-ms: {} is not within 50 and 60000", self.interval_ms));
        }
        if c.k < 2 {
            return Err(format!("picture.campaign.k: {} is too few; at least 2 constituents make a campaign", c.k));
        }
        if !(minute..=24 * 60 * minute).contains(&c.window) {
            return Err(format!("picture.campaign.window: {:?} is not within 1m and 24h", c.window));
        }
        if !(c.window..=7 * 24 * 60 * minute).contains(&c.close_after) {
            return Err(format!("picture.campaign.close-after: {:?} is not within the window and 168h", c.close_after));
        }
        Ok(())
    }
}

fn duration<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(d)?;
    let wrong = || D::Error::custom(format!("{text:?} is no duration; wanted a number with s, m or h, as 30m"));
    let split = text.len().checked_sub(1).filter(|n| text.is_char_boundary(*n)).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(split);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(wrong()),
    };
    let number: u32 = number.parse().map_err(|_| wrong())?;
    Ok(Duration::from_secs(u64::from(number) * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(json: &str) -> Result<PictureConfig, String> {
        let c: PictureConfig = serde_json::from_str(json).map_err(|e| e.to_string())?;
        c.check().map(|()| c)
    }

    #[test]
    fn defaults_are_the_published_ones() {
        let c = parsed("{}").unwrap();
        assert_eq!((c.interval_ms, c.campaign.k, c.campaign.window.as_secs()), (500, 3, 3600));
        let c = parsed(r#"{"campaign":{"k":2,"window":"30m","close-after":"2h"}}"#).unwrap();
        assert_eq!((c.campaign.k, c.campaign.window.as_secs(), c.campaign.close_after.as_secs()), (2, 1800, 7200));
    }

    #[test]
    fn a_wrong_value_is_named() {
        for (json, word) in [
            (r#"{"interval-ms":1}"#, "interval-ms"),
            (r#"{"campaign":{"k":1}}"#, "picture.campaign.k"),
            (r#"{"campaign":{"window":"5s"}}"#, "window"),
            (r#"{"campaign":{"window":"25h","close-after":"30h"}}"#, "window"),
            (r#"{"campaign":{"close-after":"10m"}}"#, "close-after"),
            (r#"{"campaign":{"window":"1 day"}}"#, "no duration"),
            (r#"{"campaign":{"window":""}}"#, "no duration"),
            (r#"{"campaign":{"window":"1ä"}}"#, "no duration"),
            (r#"{"intervall":1}"#, "unknown field"),
        ] {
            let e = parsed(json).unwrap_err();
            assert!(e.contains(word), "{json}: {e}");
        }
    }
}
