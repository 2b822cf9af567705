//! The uniform assignor of the coordinator (KIP-848).

use brokerlab_event::StoreId;

use super::{Claims, Quota, Subscriber, by_id, same_subscriptions, sticky};

/// Even over all topics, and sticky. The members that come first by their ids get the odd partitions, also where
/// others own them: other than [`sticky`](super::sticky()), it may move a partition more than it must.
///
/// The answer has one entry for each member, in the order of `members`.
pub fn uniform(topics: &[Vec<StoreId>], members: &[Subscriber<'_>]) -> Vec<Vec<StoreId>> {
    let claims = Claims::new(topics, members);
    let shares = if members.is_empty() || !same_subscriptions(members) {
        sticky::shares(topics, members, &claims)
    } else {
        equal_shares(members, &claims)
    };
    claims.stores(shares)
}

fn equal_shares(members: &[Subscriber<'_>], claims: &Claims) -> Vec<Vec<usize>> {
    let order = by_id(members);
    let read = members[order[0]].topics;
    let mut free: Vec<bool> = claims.places.iter().map(|place| read.contains(&place.topic)).collect();
    let quota = Quota::new(free.iter().filter(|free| **free).count(), members.len());
    let mut shares = claims.owned(members.len());
    let room = |place: usize| quota.least + usize::from(place < quota.more);
    for (place, member) in order.iter().enumerate() {
        let share = &mut shares[*member];
        share.retain(|at| free[*at]);
        share.truncate(room(place));
        for at in share {
            free[*at] = false;
        }
    }
    let mut rest = (0..free.len()).filter(|at| free[*at]);
    for (place, member) in order.iter().enumerate() {
        let share = &mut shares[*member];
        let missing = room(place) - share.len();
        share.extend(rest.by_ref().take(missing));
    }
    shares
}
