//! Who reads which partition: the assignors that the leader of a group runs.

use brokerlab_event::StoreId;

/// The range assignor: each topic's partitions in consecutive blocks over its members in the order of their ids'
/// bytes; the first `partitions mod members` of them get one more. Topics are dealt out separately, so the early
/// members of a group that reads several topics get more than the others.
///
/// `members` are pairs of member id and the topics that it reads (as indices into `topics`). The answer has one
/// entry for each member, in the order of `members`.
pub fn range(topics: &[Vec<StoreId>], members: &[(&str, Vec<usize>)]) -> Vec<Vec<StoreId>> {
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by(|a, b| members[*a].0.cmp(members[*b].0));
    let mut assignment = vec![Vec::new(); members.len()];
    for (topic, partitions) in topics.iter().enumerate() {
        let readers: Vec<usize> = order.iter().copied().filter(|m| members[*m].1.contains(&topic)).collect();
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
        let members = [("billing/2-1", vec![0]), ("billing/10-1", vec![0]), ("billing/1-1", vec![0])];
        let sizes: Vec<usize> = range(&[topic], &members).iter().map(Vec::len).collect();
        assert_eq!(sizes, [1, 1, 2], "10 comes before 2, and the first member gets the odd partition");
    }
}
