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
    // Two accounts: the one whose permit lives, which holds 2000 more than its share, and this.
    assert_eq!(greedy(&last, 10).iter().map(Permit::bytes).sum::<usize>(), 2000 + 1000);
    drop(held);
    assert_eq!(greedy(&last, 10).iter().map(Permit::bytes).sum::<usize>(), 4000 + 2000);
}

// Scenario: an account whose share is in use asks for what fits once its share is free again.
// Guarantees: that is "not now", never "never": what is refused for good is dropped by clients.
#[test]
fn what_fits_an_empty_account_is_busy_at_worst() {
    let budget = Budget::new(8000);
    let accounts = [budget.account(), budget.account()];
    let held = accounts[0].take(2000).unwrap();
    // 2000 of its own and half of 4000 in loans.
    assert_eq!(accounts[0].take(4000).unwrap_err(), Full::Busy);
    assert_eq!(accounts[0].take(4001).unwrap_err(), Full::TooLarge);
    drop(held);
    accounts[0].take(4000).unwrap();
}

// Scenario: one account holds all it can get when three more come, and these take what they can.
// Guarantees: the sum stays below the limit, whatever the shares were when the first one took its part.
#[test]
fn new_accounts_do_not_break_the_limit() {
    let budget = Budget::new(8000);
    let first = budget.account();
    let held = greedy(&first, 10);
    assert_eq!(first.held(), 6000);
    let others: Vec<Account> = (0..3).map(|_| budget.account()).collect();
    let more: Vec<Permit> = others.iter().flat_map(|account| greedy(account, 10)).collect();
    assert!(budget.held() <= 8000, "{} is held", budget.held());
    drop((held, more));
    assert_eq!(budget.held(), 0);
}

// Scenario: 300 accounts, of which a tenth is greedy and a few ask now and then for what is theirs.
// Guarantees: the modest ones always get it; the greedy ones share the loans evenly, to within a step; the limit holds.
#[test]
fn many_accounts_with_skewed_load() {
    const STEP: usize = 100;
    let limit = 64 << 20;
    let budget = Budget::new(limit);
    let accounts: Vec<Account> = (0..300).map(|_| budget.account()).collect();
    let share = limit / 2 / 300;
    let (greedy, modest) = accounts.split_at(30);
    let mut held = Vec::new();
    // In turns, until none gets more.
    loop {
        let before = held.len();
        held.extend(greedy.iter().filter_map(|account| account.take(STEP).ok()));
        if held.len() == before {
            break;
        }
    }
    // Each borrows as much as is left for all of them: a 31st of the loans.
    let fair = share + (limit - limit / 2) / 31;
    for account in greedy {
        assert!(account.held().abs_diff(fair) <= 31 * STEP, "{} of {fair}", account.held());
    }
    let shares: Vec<Permit> = modest.iter().map(|account| account.take(share).unwrap()).collect();
    assert!(budget.held() <= limit);
    drop((held, shares));
    assert_eq!(budget.held(), 0);
}

// Scenario: data goes from an account to one that is full, and to one of another budget.
// Guarantees: never refused; the sum is the same, and each account holds what it has permits for.
#[test]
fn permits_move() {
    let budget = Budget::new(1000);
    let [from, to] = [budget.account(), budget.account()];
    let mut moving = from.take(300).unwrap();
    let _full = greedy(&to, 1);
    let (before, full) = (budget.held(), to.held());
    moving.move_to(&to);
    assert_eq!((budget.held(), from.held(), to.held()), (before, 0, full + 300));
    moving.move_to(&to);
    assert_eq!((budget.held(), to.held()), (before, full + 300));

    let elsewhere = Budget::new(1);
    moving.move_to(&elsewhere.account());
    assert_eq!((budget.held(), elsewhere.held(), moving.bytes()), (before - 300, 300, 300));
}

// Scenario: a permit grows step by step, as a body does that arrives.
// Guarantees: it holds what it says; what one account never gets is refused for good, however small the step.
#[test]
fn permits_grow() {
    let budget = Budget::new(1000);
    let account = budget.account();
    let mut permit = account.take(0).unwrap();
    permit.grow_by(700).unwrap();
    let other = account.take(50).unwrap();
    assert_eq!(permit.grow_by(1).unwrap_err(), Full::Busy);
    assert_eq!(permit.grow_by(51).unwrap_err(), Full::TooLarge);
    assert_eq!((permit.bytes(), account.held()), (700, 750));
    drop(other);
    permit.grow_by(50).unwrap();
    drop(permit);
    assert_eq!(budget.held(), 0);
}

/// Whether a future has ended, polled once.
fn has_ended(future: &mut std::pin::Pin<Box<impl Future<Output = ()>>>) -> bool {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    future.as_mut().poll(&mut context).is_ready()
}

// Scenario: room is asked for, refused, and made by a drop, a move, a shrunk permit or an account that goes: before the wait
// begins, and after.
// Guarantees: the wait ends each time, and not before; nobody waits when all have heard.
#[test]
fn whoever_waits_hears_of_room() {
    let budget = Budget::new(1000);
    let [account, other] = [budget.account(), budget.account()];
    let make_room: [&dyn Fn(Permit); 4] =
        [&|held| drop(held), &|mut held| held.shrink_to(1), &|mut held| held.move_to(&account), &|held| {
            drop((held, budget.account()))
        }];
    for make in make_room {
        for polled_first in [false, true] {
            let held = other.take(400).unwrap();
            let mut freed = Box::pin(account.freed());
            assert!(!polled_first || !has_ended(&mut freed));
            // Taking and forcing make no room.
            assert_eq!(account.take(9999).unwrap_err(), Full::TooLarge);
            make(held);
            assert!(has_ended(&mut freed));
        }
    }
    let unused = account.freed();
    assert_eq!(budget.pool.lock().waiting, 1);
    drop(unused);
    assert_eq!(budget.pool.lock().waiting, 0);
}

// Scenario: threads that take, are refused and wait without a limit of time, on a budget that has room for one of them.
// Guarantees: all come to an end, so no wake-up is lost; the sum returns to zero.
#[test]
fn no_wake_up_is_lost() {
    let budget = Budget::new(1000);
    let account = budget.account();
    let most = 500 + 250;
    let work = async || {
        let mut taken = 0;
        while taken < 500 {
            let freed = account.freed();
            match account.take(most) {
                Ok(permit) => {
                    taken += 1;
                    std::thread::yield_now();
                    drop(permit);
                }
                Err(_) => freed.await,
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                let limit = std::time::Duration::from_secs(60);
                runtime.block_on(async { tokio::time::timeout(limit, work()).await }).unwrap();
            });
        }
    });
    assert_eq!((budget.held(), budget.pool.lock().waiting), (0, 0));
}

/// The rules in their own words, from nothing but what each account holds: no books to keep.
fn within_share(budget: &Budget, accounts: usize, held: usize, bytes: usize) -> bool {
    held + bytes <= budget.limit() / 2 / accounts
}

proptest! {
    // Scenario: random takes, forces, growths, cuts, moves and drops by accounts that come and go.
    // Guarantees: what is held is the sum of the permits, of each account and of all; without force it never exceeds the limit;
    // an account within its share is never refused while none comes or goes; a refusal changes nothing and says "never" exactly
    // where an empty budget would refuse; nobody ever borrows what leaves less for the next; in the end all is as it was.
    #[test]
    fn the_books_balance(
        limit in 100_usize..10_000,
        fixed in any::<bool>(),
        steps in prop::collection::vec((0..8_usize, 0..10_u8, 0..2000_usize), 1..200),
    ) {
        let budget = Budget::new(limit);
        let mut accounts: Vec<Account> = (0..8).map(|_| budget.account()).collect();
        let mut permits: Vec<Permit> = Vec::new();
        let mut was_forced = false;
        for (account, act, bytes) in steps {
            let index = account % accounts.len();
            let account = accounts[index].clone();
            // Accounts that are gone count while their permits live.
            let live = {
                let holders = accounts.iter().chain(permits.iter().map(|permit| &permit.account));
                holders.map(|one| Arc::as_ptr(&one.shared)).collect::<std::collections::BTreeSet<_>>().len()
            };
            let (all, before) = (budget.held(), account.held());
            match act {
                0..=3 => match account.take(bytes) {
                    Ok(permit) => {
                        let loan = account.held().saturating_sub(limit / 2 / live);
                        if !was_forced && fixed && loan > 0 {
                            let loans = accounts.iter().map(|one| one.held().saturating_sub(limit / 2 / live));
                            prop_assert!(loans.sum::<usize>() + loan <= limit - limit / 2 || bytes == 0);
                        }
                        permits.push(permit);
                    }
                    Err(full) => {
                        prop_assert!(!fixed || !within_share(&budget, live, before, bytes));
                        prop_assert_eq!((budget.held(), account.held()), (all, before));
                        let empty = Budget::new(limit);
                        let one = (0..live).map(|_| empty.account()).collect::<Vec<_>>();
                        prop_assert_eq!(full == Full::TooLarge, one[0].take(bytes).is_err());
                    }
                },
                4 => {
                    was_forced = true;
                    permits.push(account.force(bytes));
                }
                5 => if let Some(permit) = permits.last_mut() {
                    let part = permit.split(bytes);
                    permits.push(part);
                },
                6 => if let Some(permit) = permits.last_mut() {
                    // What takes an account above its limits without being new: as force.
                    was_forced = true;
                    permit.move_to(&account);
                    prop_assert_eq!(budget.held(), all);
                },
                7 => if let Some(permit) = permits.last_mut() {
                    let was = permit.bytes();
                    let grown = permit.grow_by(bytes).is_ok();
                    prop_assert_eq!(permit.bytes(), if grown { was + bytes } else { was });
                },
                8 if !fixed => {
                    accounts.push(budget.account());
                    if bytes % 2 == 0 {
                        accounts.swap_remove(index);
                    }
                }
                _ => if !permits.is_empty() {
                    permits.swap_remove(bytes % permits.len());
                },
            }
            let sum: usize = permits.iter().map(Permit::bytes).sum();
            prop_assert_eq!(budget.held(), sum);
            for account in &accounts {
                let own = permits.iter().filter(|permit| Arc::ptr_eq(&permit.account.shared, &account.shared));
                prop_assert_eq!(account.held(), own.map(Permit::bytes).sum::<usize>());
            }
            prop_assert!(was_forced || sum <= limit, "{} of {}", sum, limit);
        }
        drop((permits, accounts));
        prop_assert_eq!(budget.held(), 0);
        let last = budget.account();
        prop_assert!(last.take(limit / 2 + (limit - limit / 2) / 2).is_ok());
    }
}
