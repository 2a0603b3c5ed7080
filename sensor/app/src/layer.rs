// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What is odd about a flow's protocol as a whole, before or beside any parser: events on the packet that showed it.
//!
//! Names are Suricata's; rules write them `app-layer-event:<name>` without a protocol, in lower case.

macro_rules! layer_events {
    ($($variant:ident = $name:literal,)*) => {
        /// What is odd about a flow's protocol.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[expect(missing_docs, reason = "each variant is documented by its event name in the Suricata user guide")]
        pub enum LayerEvent { $($variant,)* }
        impl LayerEvent {
            /// Every event.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
            /// As EVE writes it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

layer_events! {
    MismatchProtocolBothDirections = "APPLAYER_MISMATCH_PROTOCOL_BOTH_DIRECTIONS",
    WrongDirectionFirstData = "APPLAYER_WRONG_DIRECTION_FIRST_DATA",
    DetectProtocolOnlyOneDirection = "APPLAYER_DETECT_PROTOCOL_ONLY_ONE_DIRECTION",
    ProtoDetectionSkipped = "APPLAYER_PROTO_DETECTION_SKIPPED",
    NoTlsAfterStarttls = "APPLAYER_NO_TLS_AFTER_STARTTLS",
    UnexpectedProtocol = "APPLAYER_UNEXPECTED_PROTOCOL",
}

/// A set of them, of one packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LayerEvents(u8);

impl LayerEvents {
    /// Adds one.
    pub const fn set(&mut self, e: LayerEvent) {
        self.0 |= 1 << e as u8;
    }
    /// Adds all of another set.
    pub const fn join(&mut self, other: Self) {
        self.0 |= other.0;
    }
    /// Whether it is there.
    pub const fn has(self, e: LayerEvent) -> bool {
        self.0 >> (e as u8) & 1 == 1
    }
    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
    /// Those there are.
    pub fn iter(self) -> impl Iterator<Item = LayerEvent> {
        LayerEvent::ALL.iter().copied().filter(move |&e| self.has(e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packets_events_are_a_set_in_their_order() {
        let (mut one, mut other) = (LayerEvents::default(), LayerEvents::default());
        assert!(one.is_empty() && one.iter().next().is_none());
        one.set(LayerEvent::UnexpectedProtocol);
        one.set(LayerEvent::UnexpectedProtocol);
        other.set(LayerEvent::WrongDirectionFirstData);
        other.set(LayerEvent::NoTlsAfterStarttls);
        one.join(other);
        assert!(
            one.has(LayerEvent::NoTlsAfterStarttls) && !one.has(LayerEvent::ProtoDetectionSkipped) && !one.is_empty()
        );
        // As Suricata's EVE writes them; its rules have them in lower case, without `applayer_`.
        assert_eq!(
            one.iter().map(LayerEvent::name).collect::<Vec<_>>(),
            ["APPLAYER_WRONG_DIRECTION_FIRST_DATA", "APPLAYER_NO_TLS_AFTER_STARTTLS", "APPLAYER_UNEXPECTED_PROTOCOL"]
        );
    }
}
