//! Who reads which partition: the assignors that the leader of a group runs.

use brokerlab_event::StoreId;

/// A member as assignors see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subscriber<'a> {
    /// Its member id.
    pub id: &'a str,
    /// The id that it keeps through restarts, if it is a static member.
    pub instance: Option<&'a str>,
    /// The topics that it reads, as indices.
    pub topics: Vec<usize>,
}

/// The range assignor: each topic's partitions in consecutive blocks over its members in the order of their ids'
/// bytes, static members first; the first `partitions mod members` of them get one more. Topics are dealt out
/// separately, so the early members of a group that reads several topics get more than the others.
///
/// The answer has one entry for each member, in the order of `members`.
pub fn range(topics: &[Vec<StoreId>], members: &[Subscriber<'_>]) -> Vec<Vec<StoreId>> {
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by_key(|index| {
        let Subscriber { id, instance, .. } = &members[*index];
        (instance.is_none(), instance.unwrap_or(id))
    });
    let mut assignment = vec![Vec::new(); members.len()];
    for (topic, partitions) in topics.iter().enumerate() {
        let readers: Vec<usize> = order.iter().copied().filter(|m| members[*m].topics.contains(&topic)).collect();
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
        let member = |id| Subscriber { id, instance: None, topics: vec![0] };
        let members = ["billing/2-1", "billing/10-1", "billing/1-1"].map(member);
        let sizes: Vec<usize> = range(&[topic], &members).iter().map(Vec::len).collect();
        assert_eq!(sizes, [1, 1, 2], "10 comes before 2, and the first member gets the odd partition");
    }
}
