//! Changes of the master key: what they must not destroy, and how it is known which key is in force.

use access::AccessError;
use access::control::{CreationKey, IfSealed, MasterReplaced, ReplaceError, master_fit, replace_master};
use access::master_key::MasterKey;
use domain::limits::DATA_KEYS_MAX;
use ports::testing::catalog::MemoryCatalog;

use crate::handles::{PLAIN, acme, by, clock, encrypt, encryption, new_key, open, opens, owner, sealed, shown};

fn key(digits: &str) -> MasterKey {
    MasterKey::parse(&digits.repeat(32)).unwrap()
}

/// A forgotten or wrong old key destroyed all data keys, and that was called a success.
#[tokio::test]
async fn i7_an_old_key_that_does_not_open_everything_destroys_nothing_unless_it_is_said_to_be_lost() {
    let (store, clock) = (MemoryCatalog::new(), clock());
    let control = open(&store, &clock, "07").await;
    control.create_workspace(&by(), "acme", None, None).await.unwrap();
    encrypt(&control, "email").await;
    let text = sealed(&control);
    let now = control.now();
    let (old, new, other) = (key("07"), key("08"), key("09"));
    for wrong in [None, Some(&other)] {
        let refused = replace_master(&store.reopen(), wrong, &new, IfSealed::Refuse, now).await.unwrap_err();
        assert!(matches!(&refused, ReplaceError::Sealed(sealed) if sealed.len() == 2), "{refused:?}");
        assert!(refused.to_string().contains("data key 1 of workspace 'acme'"), "{refused}");
    }
    // The one that is in force in the place of the new one: it opens everything.
    for lost in [IfSealed::Refuse, IfSealed::GiveUp] {
        for wrong in [None, Some(&other), Some(&old)] {
            let refused = replace_master(&store.reopen(), wrong, &old, lost, now).await.unwrap_err();
            assert!(matches!(refused, ReplaceError::NotNew), "{refused:?}");
        }
    }
    let control = open(&store, &clock, "07").await;
    assert_eq!(shown(&encryption(&control).lens(), &text), PLAIN, "nothing has changed");
    let replaced = replace_master(&store.reopen(), Some(&old), &new, IfSealed::Refuse, now).await.unwrap();
    assert_eq!(replaced, MasterReplaced { rewrapped: 1, ended: 1, data_keys_lost: 0 });
    let control = open(&store, &clock, "08").await;
    assert_eq!(shown(&encryption(&control).lens(), &text), PLAIN);
    let replaced = replace_master(&store.reopen(), Some(&old), &other, IfSealed::GiveUp, now).await.unwrap();
    assert_eq!((replaced.rewrapped, replaced.data_keys_lost), (0, 1), "said to be lost");
}

/// A register without data keys and signing secrets held nothing afterwards that only the new key opens.
#[tokio::test]
async fn i7_which_master_key_is_in_force_can_be_told_whatever_the_register_holds() {
    let (store, clock) = (MemoryCatalog::new(), clock());
    let control = open(&store, &clock, "07").await;
    control.create_workspace(&by(), "acme", None, None).await.unwrap();
    let theirs = "a-key-that-was-made-elsewhere";
    control.create_key(&by(), Some(&acme()), new_key("theirs", Some(theirs)), None).await.unwrap();
    let (old, new) = (key("07"), key("08"));
    let opened = async |key: &MasterKey| {
        let fit = master_fit(&store.reopen(), Some(key)).await.unwrap();
        (fit.opened, fit.fits())
    };
    assert_eq!((opened(&old).await, opened(&new).await), ((1, true), (0, false)));
    replace_master(&store.reopen(), Some(&old), &new, IfSealed::Refuse, control.now()).await.unwrap();
    assert_eq!((opened(&old).await, opened(&new).await), ((0, false), (1, true)));
    // The key of access tokens that tells it is the one that signs from now on.
    let before = store.reopen();
    let control = open(&store, &clock, "08").await;
    assert_eq!(opened(&new).await, (1, true));
    assert!(opens(&control, theirs).is_err());
    drop(before);
    let empty = MemoryCatalog::new();
    replace_master(&empty, None, &new, IfSealed::Refuse, control.now()).await.unwrap();
    assert_eq!(master_fit(&empty.reopen(), Some(&new)).await.unwrap().opened, 1, "also of an empty one");
}

/// A lost answer and a retry made two versions, and 10,000 of them could be made.
#[tokio::test]
async fn i6_a_repeated_rotation_makes_one_version_and_there_are_no_more_than_a_process_opens_in_no_time() {
    let (store, clock) = (MemoryCatalog::new(), clock());
    let control = open(&store, &clock, "07").await;
    control.create_workspace(&by(), "acme", None, None).await.unwrap();
    encrypt(&control, "email").await;
    let once = || Some(CreationKey::new("me", Some(&acme()), "/rotate", "k", b""));
    for _ in 0..3 {
        assert_eq!(control.rotate_data_key(&owner(), once()).await.unwrap(), 2);
    }
    for number in 3..=u32::try_from(DATA_KEYS_MAX).unwrap() {
        assert_eq!(control.rotate_data_key(&owner(), None).await.unwrap(), number);
    }
    let text = sealed(&control);
    let refused = control.rotate_data_key(&owner(), None).await.unwrap_err();
    assert!(matches!(refused, AccessError::State(_)), "{refused:?}");
    assert!(refused.to_string().contains("the newest goes on encrypting"), "{refused}");
    assert_eq!(sealed(&control), text);
    let control = open(&store, &clock, "07").await;
    assert_eq!(shown(&encryption(&control).lens(), &text), PLAIN);
}
