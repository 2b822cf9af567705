//! The sticky assignor: first as even as can be, then as few moves as can be (KIP-54, KIP-341).

use std::collections::VecDeque;

use brokerlab_event::StoreId;

use super::{Claims, Quota, Subscriber, by_id, general, same_subscriptions};

/// Balances first: no member has two partitions more than another that could read one of them. Then lets everybody
/// keep what it can.
///
/// The answer has one entry for each member, in the order of `members`.
pub fn sticky(topics: &[Vec<StoreId>], members: &[Subscriber<'_>]) -> Vec<Vec<StoreId>> {
    let claims = Claims::new(topics, members);
    let shares = shares(topics, members, &claims);
    claims.stores(shares)
}

/// What each member gets, as indices of the claims' partitions.
pub(super) fn shares(topics: &[Vec<StoreId>], members: &[Subscriber<'_>], claims: &Claims) -> Vec<Vec<usize>> {
    if members.is_empty() {
        Vec::new()
    } else if same_subscriptions(members) {
        equal_shares(members, claims)
    } else {
        general::shares(topics, members, claims)
    }
}

/// Members that may still get partitions.
#[derive(Default)]
struct Unfilled {
    /// They have less than everybody gets.
    below: Vec<usize>,
    /// They have what everybody gets, and may get one more.
    at_least: VecDeque<usize>,
}

/// Everybody reads the same topics, so that it is known beforehand how many each gets.
fn equal_shares(members: &[Subscriber<'_>], claims: &Claims) -> Vec<Vec<usize>> {
    let order = by_id(members);
    let read = &members[order[0]].topics;
    let wanted: Vec<bool> = claims.places.iter().map(|place| read.contains(&place.topic)).collect();
    let quota = Quota::new(wanted.iter().filter(|wanted| **wanted).count(), members.len());
    let (mut shares, mut unfilled, free) = keep(&order, &wanted, quota, claims);
    let mut turn = 0;
    for at in free {
        if turn >= unfilled.below.len() {
            turn = 0;
        }
        let member = match unfilled.below.get(turn) {
            Some(member) => *member,
            None => unfilled.at_least.pop_front().expect("the quotas add up to the number of partitions"),
        };
        shares[member].push(at);
        if unfilled.below.is_empty() {
            continue;
        }
        if shares[member].len() == quota.least {
            unfilled.below.remove(turn);
            unfilled.at_least.push_back(member);
        } else {
            turn += 1;
        }
    }
    shares
}

/// Everybody keeps up to its quota, its lowest partition numbers first. Returns the shares, who may get more, and
/// what is left.
fn keep(order: &[usize], wanted: &[bool], quota: Quota, claims: &Claims) -> (Vec<Vec<usize>>, Unfilled, Vec<usize>) {
    let mut owned = claims.owned(order.len());
    let mut unfilled = Unfilled::default();
    let mut more = quota.more;
    let mut taken: Vec<bool> = wanted.iter().map(|wanted| !wanted).collect();
    for member in order {
        let share = &mut owned[*member];
        share.retain(|at| wanted[*at]);
        share.sort_by_key(|at| (claims.places[*at].number, claims.places[*at].topic));
        if share.len() < quota.least {
            unfilled.below.push(*member);
        } else if share.len() > quota.least && more > 0 {
            more -= 1;
            share.truncate(quota.least + 1);
        } else {
            share.truncate(quota.least);
            unfilled.at_least.push_back(*member);
        }
        for at in share {
            taken[*at] = true;
        }
    }
    if more == 0 {
        unfilled.at_least.clear();
    }
    let free = (0..taken.len()).filter(|at| !taken[*at]).collect();
    (owned, unfilled, free)
}
