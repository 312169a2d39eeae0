//! A process that dies in the middle of an erasure goes on with it at the next start.

use fail::FailScenario;

use super::*;

const POINTS: [&str; 6] = [
    "erase::before_request",
    "erase::after_request",
    "erase::before_commit",
    "erase::after_commit",
    "erase::before_leftovers",
    "erase::after_leftovers",
];

#[tokio::test]
async fn an_erasure_goes_on_wherever_the_process_has_died() {
    for point in POINTS {
        for subject in [Subject::User("u1".to_owned()), Subject::Customer("c1".to_owned())] {
            let mut world = filled().await;
            let request = request(1, &subject, false);
            {
                let _scenario = FailScenario::setup();
                fail::cfg(point, "1*panic").expect("a failpoint");
                let ledger = Arc::clone(&world.ledger);
                let asked = request.clone();
                let dying = tokio::spawn(async move {
                    ledger.erase(&scope("a"), &asked).await?;
                    ledger.maintain().await
                });
                assert!(dying.await.map_or(true, |outcome| outcome.is_err()), "{point}");
            }
            world.restart().await;
            // Unless the request itself was lost, nobody has to ask again; whoever does asks for the same.
            if point != "erase::before_request" {
                assert_eq!(world.ledger.erasures(&scope("a")).len(), 1, "{point}");
            }
            world.ledger.erase(&scope("a"), &request).await.expect("the same erasure");
            world.ledger.maintain().await.expect("maintain");
            world.oracle.erase(&scope("a"), &request).await.expect("an erasure");
            world.check().await;
            assert_eq!(differences(&world.ledger).await, Vec::<String>::new(), "{point} {subject:?}");
        }
    }
}
