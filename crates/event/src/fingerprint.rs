//! The identity of a run's outcome in 64 bits.

use crate::{Event, Observer, Scope, Time};

/// Mixes words into 64 bits by multiplication; the same on every platform. Not a cryptographic hash: it tells
/// runs apart, it does not withstand an adversary.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mixer(u64);

impl Mixer {
    /// A mixer whose start is told apart by `salt`.
    pub const fn new(salt: u64) -> Mixer {
        Mixer(salt ^ 0x9e37_79b9_7f4a_7c15)
    }

    /// Mixes in one word: a 64×64→128-bit multiplication folded by exclusive or.
    #[inline(always)]
    pub fn mix(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * 0xd6e8_feb8_6659_fd93_u128;
        self.0 = (product as u64) ^ ((product >> 64) as u64) ^ word.rotate_left(32);
    }

    /// Mixes in a word and where it stands, in one multiplication whose factor depends on the place.
    #[inline(always)]
    fn mix_at(&mut self, place: u64, word: u64) {
        let factor = place.wrapping_add(0xd6e8_feb8_6659_fd93);
        let product = u128::from(self.0 ^ word) * u128::from(factor);
        self.0 = (product as u64) ^ ((product >> 64) as u64);
    }

    /// Mixes in a text or other bytes, with their length.
    pub fn mix_bytes(&mut self, bytes: &[u8]) {
        self.mix(bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
    }

    /// The digest of what was mixed in so far.
    pub fn digest(self) -> u64 {
        let mut end = self;
        end.mix(0x5bd1_e995);
        end.0
    }
}

/// The digests of a run's events: of what clients saw, and of everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fingerprint {
    client: Mixer,
    broker: Mixer,
    events: u64,
}

impl Default for Fingerprint {
    fn default() -> Self {
        Fingerprint { client: Mixer::new(1), broker: Mixer::new(2), events: 0 }
    }
}

impl Fingerprint {
    /// How many events were digested.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Digest of the client-scope events: equal where producers and consumers saw the same.
    pub fn client(&self) -> u64 {
        self.client.digest()
    }

    /// Digest of all events.
    pub fn full(&self) -> u64 {
        let mut both = self.client;
        both.mix(self.broker.digest());
        both.mix(self.events);
        both.digest()
    }
}

/// Where an event is emitted its kind is known, so this is inlined there and leaves a few multiplications.
impl Observer for Fingerprint {
    #[inline(always)]
    fn observe(&mut self, time: Time, event: Event) {
        let [a, b, c] = event.words();
        self.events += 1;
        // The words of an event are summed under different odd factors first, so that only one multiplication of
        // each event has to wait for the one before.
        let words = b.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(c.wrapping_mul(0xc2b2_ae3d_27d4_eb4f));
        let sum = a.wrapping_add(words);
        match event.scope() {
            Scope::Client => self.client.mix_at(time.as_nanos(), sum),
            // Its place among the client's events is part of what a broker event says.
            Scope::Broker => self.broker.mix_at(time.as_nanos(), sum ^ self.events.rotate_left(40)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClientId, MessageId, Offset, StoreId};

    fn sent(message: u64) -> Event {
        Event::Confirmed { message: MessageId::new(message), producer: ClientId::new(1) }
    }

    fn fingerprint(events: &[(u64, Event)]) -> Fingerprint {
        let mut fingerprint = Fingerprint::default();
        for (time, event) in events {
            fingerprint.observe(Time::from_nanos(*time), *event);
        }
        fingerprint
    }

    #[test]
    fn order_time_and_every_field_matter() {
        let base = fingerprint(&[(1, sent(1)), (2, sent(2))]);
        for other in [
            fingerprint(&[(1, sent(2)), (2, sent(1))]),
            fingerprint(&[(1, sent(1)), (3, sent(2))]),
            fingerprint(&[(1, sent(1)), (2, sent(3))]),
            fingerprint(&[(1, sent(1))]),
        ] {
            assert_ne!(base.client(), other.client());
            assert_ne!(base.full(), other.full());
        }
    }

    #[test]
    fn broker_events_leave_the_client_digest_alone() {
        let rolled = Event::SegmentRolled { store: StoreId::new(0), offset: Offset::new(7) };
        let plain = fingerprint(&[(1, sent(1)), (2, sent(2))]);
        let early = fingerprint(&[(1, rolled), (1, sent(1)), (2, sent(2))]);
        let late = fingerprint(&[(1, sent(1)), (1, rolled), (2, sent(2))]);
        assert_eq!(plain.client(), early.client());
        assert_ne!(plain.full(), early.full());
        assert_ne!(early.full(), late.full(), "where among the client's events it stands matters");
    }

    #[test]
    fn the_mixer_is_fixed_for_ever() {
        let mut mixer = Mixer::new(0);
        mixer.mix_bytes(b"brokerlab");
        assert_eq!(format!("{:016x}", mixer.digest()), "444d7a4d7d79f4c2");
    }
}
