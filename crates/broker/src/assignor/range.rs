//! The range assignor of clients and of the coordinator, which agree where racks do not matter.

use brokerlab_event::StoreId;

use super::{Subscriber, in_order};

/// Each topic's partitions in consecutive blocks over its members in the order of their ids' bytes, static members
/// first; the first `partitions mod members` of them get one more. Topics are dealt out separately, so the early
/// members of a group that reads several topics get more than the others.
///
/// The answer has one entry for each member, in the order of `members`.
pub fn range(topics: &[Vec<StoreId>], members: &[Subscriber<'_>]) -> Vec<Vec<StoreId>> {
    let order = in_order(members);
    let mut readers = vec![Vec::new(); topics.len()];
    for member in order {
        for topic in members[member].topics {
            readers[*topic].push(member);
        }
    }
    let mut assignment = vec![Vec::new(); members.len()];
    for (partitions, readers) in topics.iter().zip(readers) {
        if readers.is_empty() {
            continue;
        }
        let (each, rest) = (partitions.len() / readers.len(), partitions.len() % readers.len());
        let mut from = 0;
        for (place, member) in readers.into_iter().enumerate() {
            let until = from + each + usize::from(place < rest);
            assignment[member].extend_from_slice(&partitions[from..until]);
            from = until;
        }
    }
    assignment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_ordered_by_the_bytes_of_their_ids() {
        let topic: Vec<StoreId> = (0..4).map(StoreId::new).collect();
        let member = |id| Subscriber { id, instance: None, topics: &[0], owned: &[], generation: None };
        let members = ["billing/2-1", "billing/10-1", "billing/1-1"].map(member);
        let sizes: Vec<usize> = range(&[topic], &members).iter().map(Vec::len).collect();
        assert_eq!(sizes, [1, 1, 2], "10 comes before 2, and the first member gets the odd partition");
    }
}
