//! Tests of the budget.

use proptest::prelude::*;

use super::*;

/// Takes in steps until it is refused.
fn greedy(account: &Account, step: usize) -> Vec<Permit> {
    std::iter::from_fn(|| account.take(step).ok()).collect()
}

// Scenario: one greedy account among four, then a second and a third one; a fourth asks for its share.
// Guarantees: one gets its share and half of the loans, two get a third each and so on; the share of a modest one is there
// whatever the others hold; the sum stays below the limit; everything comes back.
#[test]
fn one_greedy_account_starves_nobody() {
    let budget = Budget::new(8000);
    let accounts: Vec<Account> = (0..4).map(|_| budget.account()).collect();
    // Shares of 1000 each, loans of 4000.
    let first = greedy(&accounts[0], 10);
    assert_eq!(accounts[0].held(), 1000 + 2000);
    let second = greedy(&accounts[1], 10);
    assert_eq!(accounts[1].held(), 1000 + 1000);
    let third = greedy(&accounts[2], 10);
    assert_eq!(accounts[2].held(), 1000 + 500);
    let modest = accounts[3].take(1000).unwrap();
    assert_eq!(budget.held(), 3000 + 2000 + 1500 + 1000);
    assert!(budget.held() <= budget.limit());
    drop((first, second, third, modest));
    assert_eq!(budget.held(), 0);
    assert_eq!(greedy(&accounts[3], 10).iter().map(Permit::bytes).sum::<usize>(), 3000);
}

// Scenario: more is asked for than an account can ever have, and than it can have now.
// Guarantees: the two are told apart, and nothing is held for what is refused.
#[test]
fn too_large_and_busy_are_told_apart() {
    let budget = Budget::new(8000);
    let accounts = [budget.account(), budget.account()];
    assert_eq!(accounts[0].take(4001).unwrap_err(), Full::TooLarge);
    let held = accounts[0].take(4000).unwrap();
    assert_eq!(accounts[0].take(1).unwrap_err(), Full::Busy);
    assert_eq!(budget.held(), 4000);
    drop(held);
    accounts[0].take(4000).unwrap();
}

// Scenario: data that is accepted already goes to an account that is full, and is cut.
// Guarantees: it is never refused; new data is until it is gone; the pieces add up to the whole.
#[test]
fn accepted_data_is_never_refused() {
    let budget = Budget::new(1000);
    let account = budget.account();
    let mut forced = account.force(5000);
    assert_eq!((budget.held(), account.take(1).unwrap_err()), (5000, Full::Busy));
    let mut part = forced.split(2000);
    part.shrink_to(500);
    assert_eq!((forced.bytes(), part.bytes(), budget.held()), (3000, 500, 3500));
    assert_eq!(part.split(9999).bytes(), 500);
    drop((forced, part));
    assert_eq!(budget.held(), 0);
    account.take(500).unwrap();
}

// Scenario: accounts come and go while permits live.
// Guarantees: shares follow; what is held above a smaller share is a loan and is never taken back; an account counts until its
// last permit is gone.
#[test]
fn shares_follow_the_accounts() {
    let budget = Budget::new(8000);
    let one = budget.account();
    let held = one.take(4000).unwrap();
    let others: Vec<Account> = (0..3).map(|_| budget.account()).collect();
    assert_eq!(others[0].take(1000).map(|permit| permit.bytes()), Ok(1000));
    drop(one);
    drop(others);
    let last = budget.account();
    // Two accounts: the one whose permit lives, and this.
    assert_eq!(greedy(&last, 10).iter().map(Permit::bytes).sum::<usize>(), 2000 + 2000);
    drop(held);
    assert_eq!(greedy(&last, 10).iter().map(Permit::bytes).sum::<usize>(), 4000 + 2000);
}

proptest! {
    // Scenario: random takes, forces, cuts and drops by a changing number of accounts.
    // Guarantees: what is held is the sum of the permits; without force it never exceeds the limit; an account within its share
    // is never refused.
    #[test]
    fn the_books_balance(limit in 100_usize..10_000, steps in prop::collection::vec((0..8_usize, 0..6_u8, 0..2000_usize), 1..200)) {
        let budget = Budget::new(limit);
        let accounts: Vec<Account> = (0..8).map(|_| budget.account()).collect();
        let mut permits: Vec<(usize, Permit)> = Vec::new();
        let mut was_forced = false;
        for (account, act, bytes) in steps {
            match act {
                0..=2 => {
                    let before = accounts[account].held();
                    let got = accounts[account].take(bytes);
                    if before + bytes <= limit / 2 / 8 {
                        prop_assert!(got.is_ok(), "{before} + {bytes} is within the share");
                    }
                    permits.extend(got.ok().map(|permit| (account, permit)));
                }
                3 => {
                    was_forced = true;
                    permits.push((account, accounts[account].force(bytes)));
                }
                4 => if let Some((owner, permit)) = permits.last_mut() {
                    let owner = *owner;
                    let part = permit.split(bytes);
                    permits.push((owner, part));
                },
                _ => if !permits.is_empty() {
                    permits.swap_remove(bytes % permits.len());
                },
            }
            let sum: usize = permits.iter().map(|(_, permit)| permit.bytes()).sum();
            prop_assert_eq!(budget.held(), sum);
            for (index, account) in accounts.iter().enumerate() {
                let own = permits.iter().filter(|(owner, _)| *owner == index);
                prop_assert_eq!(account.held(), own.map(|(_, permit)| permit.bytes()).sum::<usize>());
            }
            prop_assert!(was_forced || sum <= limit);
        }
    }
}
