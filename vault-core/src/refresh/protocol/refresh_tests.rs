use std::time::Duration;

use super::super::MarkFacts;
use super::*;
use crate::identity::{Generation, LoginId};

const REFUSED: Fingerprint = Fingerprint([9; 16]);

fn access(fresh: bool, valid: bool) -> Option<Access> {
    Some(Access {
        fingerprint: Fingerprint([1; 16]),
        fresh,
        valid,
    })
}

fn copy(generation: u64) -> StoredCopy {
    StoredCopy {
        generation: Generation(generation),
        refresh: Fingerprint([u8::try_from(generation).unwrap(); 16]),
    }
}

/// An expired access token, both copies alike, nothing in flight.
fn claimed() -> Claimed {
    Claimed {
        login: LoginId([0; 16]),
        tombstoned: false,
        sealed: SealedCopy::Present(copy(3)),
        item: Some(copy(3)),
        item_impossible: false,
        mark: None,
        access: access(false, false),
        settled: true,
        backing_off: None,
        policy: RotationPolicy::default(),
    }
}

fn mark_of(generation: u64, age: u64) -> MarkFacts {
    MarkFacts {
        generation: copy(generation).generation,
        refresh: copy(generation).refresh,
        attempts: 1,
        age: Some(Duration::from_secs(age)),
        refused: false,
    }
}

fn answered(answer: Answer) -> Event {
    Event::Answered {
        answer,
        since_first_send: Some(Duration::from_secs(1)),
        access: access(false, false),
    }
}

/// Answers each effect by `world` until the machine ends; gives all effects.
fn run(want: Want, mut world: impl FnMut(&Effect) -> Event) -> Vec<Effect> {
    let mut effects = Vec::new();
    let mut machine = Refresh::new(want);
    let mut event = Event::Start;
    loop {
        let effect;
        (machine, effect) = machine.next(event);
        effects.push(effect.clone());
        assert!(effects.len() < 200, "it does not end: {effects:?}");
        if matches!(effect, Effect::Finish(_)) {
            return effects;
        }
        event = world(&effect);
    }
}

/// A world in which nothing fails, with these things stored and this answer.
fn world(claimed: &Claimed, answer: Answer) -> impl FnMut(&Effect) -> Event + use<> {
    let claimed = claimed.clone();
    move |effect| match effect {
        Effect::Look => Event::Looked(Sight::Login {
            access: claimed.access,
            refused: false,
            backing_off: None,
        }),
        Effect::TryLock => Event::Locked,
        Effect::Claim => Event::Claimed(claimed.clone()),
        Effect::Send => answered(answer),
        Effect::CheckTombstone => Event::Tombstone(false),
        _ => Event::Done,
    }
}

const GRANTED: Answer = Answer::Granted { usable: true };

fn position(effects: &[Effect], wanted: &Effect) -> usize {
    effects
        .iter()
        .position(|effect| effect == wanted)
        .unwrap_or_else(|| panic!("no {wanted:?} in {effects:?}"))
}

fn outcome(effects: &[Effect]) -> Outcome {
    match effects.last() {
        Some(Effect::Finish(outcome)) => *outcome,
        other => panic!("ended with {other:?}"),
    }
}

#[test]
fn a_refresh_saves_before_it_hands_out_and_marks_before_it_sends() {
    let effects = run(Want::default(), world(&claimed(), GRANTED));
    let order = [
        Effect::Look,
        Effect::TryLock,
        Effect::Claim,
        Effect::Prepare,
        Effect::Mark { attempts: 1 },
        Effect::CountAttempt,
        Effect::Send,
        Effect::CheckTombstone,
        Effect::BeginChange,
        Effect::Commit,
        Effect::EndChange,
        Effect::CheckTombstone,
        Effect::HandOut,
        Effect::CopyToItem,
        Effect::CheckTombstone,
        Effect::ClearMark,
        Effect::Record,
        Effect::Unlock,
        Effect::Finish(Outcome::Refreshed),
    ];
    assert_eq!(effects, order);
}

#[test]
fn a_fresh_token_needs_no_lock() {
    let fresh = Claimed {
        access: access(true, true),
        ..claimed()
    };
    let effects = run(Want::default(), world(&fresh, GRANTED));
    assert_eq!(effects, [Effect::Look, Effect::Finish(Outcome::Adopted)]);
}

#[test]
fn a_refused_token_is_replaced_even_if_it_looks_fresh() {
    let fresh = Claimed {
        access: access(true, true),
        ..claimed()
    };
    let want = Want {
        refused: Some(Fingerprint([1; 16])),
        insist: false,
    };
    assert_eq!(
        outcome(&run(want, world(&fresh, GRANTED))),
        Outcome::Refreshed
    );
    let want = Want {
        refused: Some(REFUSED),
        insist: false,
    };
    assert_eq!(
        outcome(&run(want, world(&fresh, GRANTED))),
        Outcome::Adopted
    );
}

#[test]
fn what_another_process_stored_before_the_lock_is_adopted() {
    let mut world = world(
        &Claimed {
            access: access(true, true),
            ..claimed()
        },
        GRANTED,
    );
    let effects = run(Want::default(), |effect| match effect {
        Effect::Look => Event::Looked(Sight::Login {
            access: access(false, false),
            refused: false,
            backing_off: None,
        }),
        effect => world(effect),
    });
    assert_eq!(outcome(&effects), Outcome::Adopted);
    assert!(!effects.contains(&Effect::Send));
}

#[test]
fn nothing_is_sent_that_could_not_be_saved() {
    for failing in [Effect::Claim, Effect::Prepare, Effect::Mark { attempts: 1 }] {
        let mut world = world(&claimed(), GRANTED);
        let effects = run(Want::default(), |effect| {
            if *effect == failing {
                Event::Failed(Failure::Local)
            } else {
                world(effect)
            }
        });
        assert!(!effects.contains(&Effect::Send), "{failing:?}");
        assert!(effects.contains(&Effect::Unlock), "{failing:?}");
        assert_eq!(outcome(&effects), Outcome::Failed(Failure::Local));
    }
}

#[test]
fn the_newer_copy_wins_wherever_it_is() {
    let item_newer = Claimed {
        item: Some(copy(4)),
        ..claimed()
    };
    let effects = run(Want::default(), world(&item_newer, GRANTED));
    assert!(position(&effects, &Effect::RepairSealed) < position(&effects, &Effect::Send));

    let folder_wiped = Claimed {
        sealed: SealedCopy::Absent,
        access: None,
        ..claimed()
    };
    let effects = run(Want::default(), world(&folder_wiped, GRANTED));
    assert!(position(&effects, &Effect::RepairSealed) < position(&effects, &Effect::Send));

    let store_restored = Claimed {
        item: Some(copy(2)),
        access: access(true, true),
        ..claimed()
    };
    let effects = run(
        Want {
            refused: Some(REFUSED),
            insist: true,
        },
        world(&store_restored, GRANTED),
    );
    assert_eq!(outcome(&effects), Outcome::Adopted);
    let late = |effect: &Effect| match effect {
        Effect::Look => Event::Looked(Sight::Damaged),
        effect => world(&store_restored, GRANTED)(effect),
    };
    assert!(run(Want::default(), late).contains(&Effect::RepairItem));
}

#[test]
fn an_older_copy_goes_also_where_the_store_can_not_hold_the_newest() {
    let too_large = Claimed {
        item_impossible: true,
        ..claimed()
    };
    let adopting = |item| {
        let fresh = Claimed {
            item,
            access: access(true, true),
            ..too_large.clone()
        };
        let mut world = world(&fresh, GRANTED);
        run(Want::default(), move |effect| match effect {
            Effect::Look => Event::Looked(Sight::Damaged),
            effect => world(effect),
        })
    };
    let effects = adopting(Some(copy(2)));
    assert!(position(&effects, &Effect::RepairItem) < position(&effects, &Effect::Unlock));
    assert_eq!(outcome(&effects), Outcome::Adopted);
    for settled in [None, Some(copy(3))] {
        let effects = adopting(settled);
        assert!(!effects.contains(&Effect::RepairItem), "{settled:?}");
        assert_eq!(outcome(&effects), Outcome::Adopted);
    }

    // What the next token is like, nobody knows before it is there.
    for item in [None, Some(copy(2))] {
        let expired = Claimed {
            item,
            ..too_large.clone()
        };
        let effects = run(Want::default(), world(&expired, GRANTED));
        assert!(position(&effects, &Effect::Commit) < position(&effects, &Effect::CopyToItem));
        assert_eq!(outcome(&effects), Outcome::Refreshed);
    }
}

#[test]
fn a_damaged_file_is_set_aside_and_repaired_from_the_store() {
    let damaged = Claimed {
        sealed: SealedCopy::Unreadable,
        access: None,
        ..claimed()
    };
    let effects = run(Want::default(), world(&damaged, GRANTED));
    assert!(position(&effects, &Effect::SetAside) < position(&effects, &Effect::RepairSealed));
    assert_eq!(outcome(&effects), Outcome::Refreshed);

    let hopeless = Claimed {
        item: None,
        ..damaged
    };
    let effects = run(Want::default(), world(&hopeless, GRANTED));
    assert_eq!(outcome(&effects), Outcome::Failed(Failure::Corrupted));
}

#[test]
fn a_transient_failure_takes_everything_back() {
    let down = Failure::ServerUnavailable;
    let effects = run(Want::default(), world(&claimed(), Answer::NotActed(down)));
    let after_send = &effects[position(&effects, &Effect::Send) + 1..];
    assert_eq!(
        after_send,
        [
            Effect::Unmark,
            Effect::Discard,
            Effect::ShareFailure(down),
            Effect::Record,
            Effect::Unlock,
            Effect::Finish(Outcome::Failed(down)),
        ]
    );
}

#[test]
fn a_valid_token_is_served_while_the_server_is_down() {
    let aging = Claimed {
        access: access(false, true),
        ..claimed()
    };
    let mut world = world(&aging, GRANTED);
    let effects = run(Want::default(), |effect| match effect {
        Effect::Send => Event::Answered {
            answer: Answer::NotActed(Failure::NetworkUnavailable),
            since_first_send: None,
            access: access(false, true),
        },
        effect => world(effect),
    });
    assert_eq!(
        outcome(&effects),
        Outcome::ServedValid(Failure::NetworkUnavailable)
    );
}

#[test]
fn a_refused_login_is_marked_and_not_sent_again_by_itself() {
    let effects = run(Want::default(), world(&claimed(), Answer::InvalidGrant));
    assert!(effects.contains(&Effect::MarkRefused));
    assert!(!effects.contains(&Effect::Unmark) && !effects.contains(&Effect::ClearMark));
    assert_eq!(outcome(&effects), Outcome::Failed(Failure::LoginRequired));

    let refused = MarkFacts {
        refused: true,
        ..mark_of(3, 0)
    };
    let refused = Claimed {
        mark: Some(refused),
        ..claimed()
    };
    let effects = run(Want::default(), world(&refused, GRANTED));
    assert!(!effects.contains(&Effect::Send));
    let insist = Want {
        refused: None,
        insist: true,
    };
    assert_eq!(
        outcome(&run(insist, world(&refused, GRANTED))),
        Outcome::Refreshed
    );
}

#[test]
fn a_lost_answer_is_asked_for_once_more_within_the_window() {
    let effects = run(Want::default(), world(&claimed(), Answer::Unknown));
    let sends = effects
        .iter()
        .filter(|effect| **effect == Effect::Send)
        .count();
    assert_eq!(sends, 2);
    assert!(effects.contains(&Effect::Mark { attempts: 2 }));
    assert!(
        !effects.contains(&Effect::Unmark),
        "the mark tells the next process"
    );
    assert_eq!(
        outcome(&effects),
        Outcome::Failed(Failure::ServerUnavailable)
    );
}

#[test]
fn a_strict_server_never_sees_a_token_again() {
    let strict = Claimed {
        policy: RotationPolicy::strict(),
        ..claimed()
    };
    let effects = run(Want::default(), world(&strict, Answer::Unknown));
    assert_eq!(
        effects
            .iter()
            .filter(|effect| **effect == Effect::Send)
            .count(),
        1
    );
    assert_eq!(
        outcome(&effects),
        Outcome::Failed(Failure::RotationUnconfirmed)
    );

    let left_behind = Claimed {
        mark: Some(mark_of(3, 0)),
        ..strict
    };
    // Nor if a person asks.
    for insist in [false, true] {
        let want = Want {
            refused: None,
            insist,
        };
        let effects = run(want, world(&left_behind, GRANTED));
        assert!(!effects.contains(&Effect::Send), "{want:?}");
        assert_eq!(
            outcome(&effects),
            Outcome::Failed(Failure::RotationUnconfirmed)
        );
    }
}

#[test]
fn a_dead_process_mark_counts_its_attempt() {
    let left_behind = Claimed {
        mark: Some(mark_of(3, 2)),
        ..claimed()
    };
    let effects = run(Want::default(), world(&left_behind, GRANTED));
    assert!(effects.contains(&Effect::Mark { attempts: 2 }));

    let still_valid = Claimed {
        mark: Some(mark_of(3, 60)),
        access: access(false, true),
        ..claimed()
    };
    let effects = run(Want::default(), world(&still_valid, GRANTED));
    assert!(!effects.contains(&Effect::Send), "the replay comes last");
    assert_eq!(
        outcome(&effects),
        Outcome::ServedValid(Failure::ServerUnavailable)
    );
}

#[test]
fn a_mark_about_an_older_token_says_nothing() {
    let stale = Claimed {
        mark: Some(mark_of(2, 0)),
        policy: RotationPolicy::strict(),
        ..claimed()
    };
    let effects = run(Want::default(), world(&stale, GRANTED));
    assert!(effects.contains(&Effect::Mark { attempts: 1 }));
    assert_eq!(outcome(&effects), Outcome::Refreshed);
}

#[test]
fn a_logout_meanwhile_is_final() {
    for at in [1, 2, 3] {
        let mut checks = 0;
        let mut world = world(&claimed(), GRANTED);
        let effects = run(Want::default(), |effect| match effect {
            Effect::CheckTombstone => {
                checks += 1;
                Event::Tombstone(checks >= at)
            }
            effect => world(effect),
        });
        assert!(effects.contains(&Effect::RevokeReceived));
        assert!(effects.contains(&Effect::DeleteRemains));
        assert_eq!(effects.contains(&Effect::Commit), at > 1);
        assert_eq!(effects.contains(&Effect::HandOut), at > 2);
        assert_eq!(outcome(&effects), Outcome::Failed(Failure::LoggedOut));
    }
}

#[test]
fn a_token_that_can_not_be_saved_is_kept_with_the_lock_until_it_can() {
    let mut commits = 0;
    let mut world = world(&claimed(), GRANTED);
    let effects = run(Want::default(), |effect| match effect {
        Effect::Commit => {
            commits += 1;
            if commits <= 9 {
                Event::Failed(Failure::Local)
            } else {
                Event::Done
            }
        }
        Effect::CommitToItem => Event::Failed(Failure::Local),
        effect => world(effect),
    });
    assert_eq!(commits, 10);
    assert_eq!(
        effects
            .iter()
            .filter(|effect| **effect == Effect::Unlock)
            .count(),
        1
    );
    assert!(position(&effects, &Effect::HandOut) > position(&effects, &Effect::CommitToItem));
    assert_eq!(outcome(&effects), Outcome::Refreshed);
}

#[test]
fn a_commit_to_the_store_is_the_second_way() {
    // Also where the store could not hold the token before.
    for item_impossible in [false, true] {
        let before = Claimed {
            item_impossible,
            ..claimed()
        };
        let mut world = world(&before, GRANTED);
        let effects = run(Want::default(), |effect| match effect {
            Effect::Commit => Event::Failed(Failure::Local),
            effect => world(effect),
        });
        assert!(effects.contains(&Effect::CommitToItem));
        assert!(!effects.contains(&Effect::CopyToItem));
        assert_eq!(outcome(&effects), Outcome::Refreshed);
    }
}

#[test]
fn a_waiter_adopts_the_winners_token_or_shares_its_failure_or_gives_up() {
    let waits = |waited: Event, then: Option<Access>| {
        let mut looks = 0;
        run(Want::default(), move |effect| match effect {
            Effect::Look => {
                looks += 1;
                Event::Looked(Sight::Login {
                    access: if looks == 1 {
                        access(false, false)
                    } else {
                        then
                    },
                    refused: false,
                    backing_off: None,
                })
            }
            Effect::TryLock => Event::Busy,
            Effect::Wait => waited.clone(),
            effect => panic!("{effect:?}"),
        })
    };
    let moved = Event::Waited {
        moved: true,
        failed: None,
        late: false,
    };
    assert_eq!(outcome(&waits(moved, access(true, true))), Outcome::Adopted);
    let failed = Some(Failure::LoginRequired);
    let failed = Event::Waited {
        moved: false,
        failed,
        late: false,
    };
    assert_eq!(
        outcome(&waits(failed, None)),
        Outcome::Failed(Failure::LoginRequired)
    );
    let late = Event::Waited {
        moved: false,
        failed: None,
        late: true,
    };
    assert_eq!(
        outcome(&waits(late, None)),
        Outcome::Failed(Failure::LockTimeout)
    );
}

#[test]
fn a_change_that_was_cut_off_is_settled_first() {
    let unsettled = Claimed {
        settled: false,
        ..claimed()
    };
    let effects = run(Want::default(), world(&unsettled, GRANTED));
    assert!(position(&effects, &Effect::EndChange) < position(&effects, &Effect::Prepare));
}

#[test]
fn a_new_refresh_token_in_a_useless_answer_is_saved() {
    let answer = Answer::Granted { usable: false };
    let effects = run(Want::default(), world(&claimed(), answer));
    assert!(effects.contains(&Effect::Commit));
    assert_eq!(outcome(&effects), Outcome::Failed(Failure::AnswerUnusable));
    // Else each caller would cost a rotation.
    assert!(effects.contains(&Effect::ShareFailure(Failure::AnswerUnusable)));
}
