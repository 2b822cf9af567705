//! What both protocols keep of members: their sessions, and who is which static member.

use std::collections::BTreeMap;
use std::sync::Arc;

use brokerlab_event::{ClientId, Time};

use crate::deadlines::Deadlines;
use crate::message::Member;

/// Deadlines of members, which have a slot each.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions {
    deadlines: Deadlines,
    slots: Vec<Option<Member>>,
    free: Vec<u32>,
}

impl Sessions {
    /// The slot of a new member.
    pub fn add(&mut self, member: Member) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.slots.len() - 1) as u32
        });
        self.slots[slot as usize] = Some(member);
        slot
    }

    /// Another member takes the place of the one in this slot.
    pub fn hand_over(&mut self, slot: u32, member: Member) {
        self.slots[slot as usize] = Some(member);
    }

    /// The member is gone.
    pub fn remove(&mut self, slot: u32) {
        self.deadlines.clear(slot);
        self.slots[slot as usize] = None;
        self.free.push(slot);
    }

    pub fn set(&mut self, slot: u32, at: Time) {
        self.deadlines.set(slot, at);
    }

    pub fn clear(&mut self, slot: u32) {
        self.deadlines.clear(slot);
    }

    /// A member whose deadline is over.
    pub fn pop_due(&mut self, now: Time) -> Option<Member> {
        let slot = self.deadlines.pop_due(now)?;
        Some(self.slots[slot as usize].expect("only members have deadlines"))
    }

    pub fn next(&self) -> Option<Time> {
        self.deadlines.next()
    }
}

/// Who is which static member (`group.instance.id`, KIP-345), and who was.
#[derive(Clone, Debug, Default)]
pub(super) struct Instances {
    current: BTreeMap<Arc<str>, Member>,
    /// By client: this membership and all before it are over, because another took their place.
    fenced: BTreeMap<ClientId, u32>,
}

impl Instances {
    /// The member that stands for this instance, if there is one besides `member` itself.
    pub fn other(&self, instance: Option<&Arc<str>>, member: Member) -> Option<Member> {
        self.current.get(instance?).copied().filter(|other| *other != member)
    }

    /// The member stands for its instance from now on; one that did before is fenced off.
    pub fn enter(&mut self, instance: Option<&Arc<str>>, member: Member) {
        if let Some(instance) = instance
            && let Some(before) = self.current.insert(Arc::clone(instance), member)
            && before != member
        {
            let last = self.fenced.entry(before.client).or_default();
            *last = before.incarnation.max(*last);
        }
    }

    /// Nobody stands for the instance any more.
    pub fn leave(&mut self, instance: Option<&Arc<str>>) {
        if let Some(instance) = instance {
            self.current.remove(instance);
        }
    }

    /// True where another member has taken its place.
    pub fn is_fenced(&self, member: Member) -> bool {
        self.fenced.get(&member.client).is_some_and(|last| member.incarnation <= *last)
    }
}
