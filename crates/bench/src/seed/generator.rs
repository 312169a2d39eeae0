//! The events themselves, in the order in which they would arrive.

use std::borrow::Cow;
use std::collections::VecDeque;

use domain::event::{Candidate, TimeText, UsageText};
use domain::time::{MICROS_PER_DAY, MICROS_PER_HOUR, Timestamp};

use super::choice::{Choice, Weighted};
use crate::text::{InstantTexts, push_event_id};

/// What happens, with how much of all that happens it is, and where it happens.
const KINDS: [(&str, f64, Option<&str>); 10] = [
    ("api_call", 0.38, None),
    ("page_view", 0.24, Some("/app")),
    ("click", 0.14, Some("/app")),
    ("search", 0.08, Some("/search")),
    ("login", 0.06, Some("/auth/login")),
    ("upload", 0.04, Some("/files")),
    ("download", 0.03, Some("/files")),
    ("invite", 0.01, Some("/team/invites")),
    ("signup", 0.01, Some("/auth/signup")),
    ("purchase", 0.01, Some("/billing/checkout")),
];
const ENDPOINTS: [&str; 6] =
    ["/v1/chat", "/v1/completions", "/v1/embeddings", "/v1/rerank", "/v1/images", "/v1/transcriptions"];
const MODELS: [&str; 4] = ["small-1", "medium-2", "large-2", "embed-1"];
const PLANS: [&str; 3] = ["free", "pro", "enterprise"];
const CHANNELS: [&str; 4] = ["web", "mobile", "api", "email"];
const REGIONS: [&str; 4] = ["eu-west", "us-east", "us-west", "ap-south"];
const PROJECTS: [&str; 3] = ["web", "mobile", "backend"];
/// How much happens in each hour of a day, of the busiest one.
const HOURS: [f64; 24] = [
    0.25, 0.18, 0.14, 0.12, 0.13, 0.18, 0.30, 0.48, 0.70, 0.90, 1.00, 0.98, 0.88, 0.92, 0.97, 0.95, 0.88, 0.78, 0.66,
    0.58, 0.52, 0.46, 0.38, 0.30,
];
/// How much happens on a day of the weekend, of another day.
const WEEKEND: f64 = 0.55;
/// Users of one customer follow Zipf's law with this exponent, and so do the customers but the whale.
const ZIPF: f64 = 0.9;
/// Share of the users that belongs to the whale, which has as large a share of the events.
const WHALE: f64 = 0.1;
/// Longest that a late event comes after its time.
const LATE_US_MAX: f64 = 6.0 * 3_600.0 * 1e6;
/// Latest events of which one may come twice.
const RECENT: usize = 512;
/// Latest late events that are held back at once (I6).
const HELD_MAX: usize = 100_000;
/// Day 0 of the epoch was a Thursday; weeks begin with Monday.
const EPOCH_WEEKDAY: i64 = 3;

/// Which events are made.
#[derive(Debug, Clone, Copy)]
pub struct SeedPlan {
    /// How many.
    pub events: u64,
    /// Distinct users.
    pub users: u32,
    /// Distinct customers.
    pub customers: u32,
    /// Days over which they are spread.
    pub days: u32,
    /// Share of the events that comes up to six hours after its time.
    pub late: f64,
    /// Share of the events that repeats one of the last ones.
    pub duplicates: f64,
    /// Makes the same choices again.
    pub seed: u64,
    /// When they end.
    pub until: Timestamp,
}

/// Makes the events of a plan.
#[derive(Debug)]
pub struct Generator {
    plan: SeedPlan,
}

impl Generator {
    /// A generator of the events that `plan` asks for.
    pub fn new(plan: SeedPlan) -> Self {
        Self { plan }
    }

    /// Gives each event, with about the bytes of its text, to `take`.
    ///
    /// # Errors
    /// The first one of `take`, which ends the making.
    pub fn each<E>(self, mut take: impl FnMut(&Candidate<'_>, u64) -> Result<(), E>) -> Result<(), E> {
        let mut world = World::new(self.plan);
        let mut held: VecDeque<(Timestamp, Made)> = VecDeque::new();
        let mut recent: Vec<Made> = Vec::with_capacity(RECENT);
        let mut left = self.plan.events;
        let mut number = 0;
        while left > 0 {
            let late = held.front().is_some_and(|(at, _)| *at <= world.instant(number)) || held.len() > HELD_MAX;
            let made = if late && let Some((_, made)) = held.pop_front() {
                made
            } else if !recent.is_empty() && world.choice.chance(self.plan.duplicates) {
                let index = world.choice.below(u32::try_from(recent.len()).unwrap_or(1));
                recent.get(index as usize).cloned().unwrap_or_default()
            } else if number >= self.plan.events {
                // Everything was made, and some of it is still held back.
                let Some((_, made)) = held.pop_front() else { break };
                made
            } else {
                let made = world.make(number);
                number += 1;
                if world.choice.chance(self.plan.late) && held.len() < HELD_MAX {
                    #[expect(clippy::cast_possible_truncation, reason = "at most a few hours")]
                    let comes = made.at.plus_micros((world.choice.unit() * LATE_US_MAX) as i64);
                    let place = held.partition_point(|(at, _)| *at <= comes);
                    held.insert(place, (comes, made));
                    continue;
                }
                made
            };
            take(&made.candidate(&world), made.bytes())?;
            left -= 1;
            if recent.len() < RECENT {
                recent.push(made);
            } else if let Some(slot) = recent.get_mut(usize::try_from(left).unwrap_or(0) % RECENT) {
                *slot = made;
            }
        }
        Ok(())
    }
}

/// One event, as far as it is text of its own.
#[derive(Debug, Clone, Default)]
struct Made {
    at: Timestamp,
    id: String,
    time: String,
    kind: usize,
    endpoint: usize,
    customer: usize,
    user: String,
    project: usize,
    properties: String,
    usage: Option<[String; 4]>,
    model: usize,
}

impl Made {
    fn bytes(&self) -> u64 {
        (self.id.len() + self.time.len() + self.user.len() + self.properties.len() + 48) as u64
    }

    fn candidate<'m>(&'m self, world: &'m World) -> Candidate<'m> {
        let text = |text: &'m str| Some(Cow::Borrowed(text));
        let (kind, _, place) = KINDS[self.kind];
        let usage = match &self.usage {
            Some([tokens, input, output, latency]) => UsageText {
                tokens: text(tokens),
                input_tokens: text(input),
                output_tokens: text(output),
                latency_ms: text(latency),
                model: text(MODELS[self.model]),
                ..UsageText::default()
            },
            None => UsageText::default(),
        };
        Candidate {
            id: text(&self.id),
            time: Some(TimeText::Text(Cow::Borrowed(&self.time))),
            kind: text(kind),
            project: text(PROJECTS[self.project]),
            customer: world.customers.get(self.customer).map(|name| Cow::Borrowed(name.as_str())),
            user: text(&self.user),
            endpoint: text(place.unwrap_or(ENDPOINTS[self.endpoint])),
            properties: text(&self.properties),
            usage,
            ..Candidate::default()
        }
    }
}

/// Everything that events are chosen from.
#[derive(Debug)]
struct World {
    plan: SeedPlan,
    run: u32,
    choice: Choice,
    texts: InstantTexts,
    hours: Weighted,
    first_hour: Timestamp,
    customers: Vec<String>,
    of_customers: Weighted,
    of_users: Weighted,
    of_whale_users: Weighted,
    of_kinds: Weighted,
    of_endpoints: Weighted,
    whale_users: u32,
    /// About how many events are no repetitions.
    originals: f64,
}

impl World {
    fn new(plan: SeedPlan) -> Self {
        let count = plan.days.max(1).saturating_mul(24);
        let first_hour = plan.until.plus_micros(-i64::from(count) * MICROS_PER_HOUR);
        let weight = |hour: u32| {
            let at = first_hour.plus_micros(i64::from(hour) * MICROS_PER_HOUR).micros();
            let day = (at.div_euclid(MICROS_PER_DAY) + EPOCH_WEEKDAY).rem_euclid(7);
            let of_day = usize::try_from(at.rem_euclid(MICROS_PER_DAY) / MICROS_PER_HOUR).unwrap_or(0);
            HOURS[of_day % HOURS.len()] * if day >= 5 { WEEKEND } else { 1.0 }
        };
        let kinds = u32::try_from(KINDS.len()).unwrap_or(1);
        let others = plan.customers.saturating_sub(1).max(1);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a u32")]
        let whale_users = ((f64::from(plan.users) * WHALE) as u32).max(1);
        Self {
            run: run_of(plan),
            choice: Choice::new(plan.seed),
            texts: InstantTexts::new(first_hour, plan.until),
            hours: Weighted::new(count, weight),
            first_hour,
            customers: (0..plan.customers.max(1)).map(|number| format!("acc_{:04}", number + 1)).collect(),
            of_customers: Weighted::zipf(others, ZIPF),
            of_users: Weighted::zipf(plan.users.saturating_sub(whale_users).max(1), ZIPF),
            of_whale_users: Weighted::zipf(whale_users, ZIPF),
            of_kinds: Weighted::new(kinds, |kind| KINDS[kind as usize].1),
            of_endpoints: Weighted::zipf(u32::try_from(ENDPOINTS.len()).unwrap_or(1), ZIPF),
            whale_users,
            #[expect(clippy::cast_precision_loss, reason = "a share is taken of it")]
            originals: (plan.events as f64 * (1.0 - plan.duplicates)).max(1.0),
            plan,
        }
    }

    /// When event `number` happens: the events are as far apart as the hour they lie in is quiet.
    fn instant(&self, number: u64) -> Timestamp {
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        let share = (number as f64 / self.originals).min(1.0);
        let hour = i64::try_from(self.hours.at(share)).unwrap_or(0);
        #[expect(clippy::cast_possible_truncation, reason = "within one hour")]
        let within_ms = (self.hours.within(share) * 3_599_999.0) as i64;
        self.first_hour.plus_micros(hour * MICROS_PER_HOUR + within_ms * 1_000)
    }

    fn make(&mut self, number: u64) -> Made {
        let at = self.instant(number);
        let whale = self.plan.customers == 1 || self.choice.chance(WHALE);
        let (customer, user) = if whale {
            (0, self.of_whale_users.pick(&mut self.choice))
        } else {
            let user = self.of_users.pick(&mut self.choice);
            (1 + self.of_customers.pick(&mut self.choice), user + self.whale_users as usize)
        };
        let kind = self.of_kinds.pick(&mut self.choice);
        let choice = &mut self.choice;
        let usage = (KINDS[kind].0 == "api_call").then(|| {
            let (input, output) = (choice.long_tailed(350.0, 16_000.0), choice.long_tailed(220.0, 8_000.0));
            let latency = 20 + choice.long_tailed(180.0, 30_000.0);
            [input + output, input, output, latency].map(|number| number.to_string())
        });
        let mut id = Vec::with_capacity(36);
        push_event_id(&mut id, self.run, number);
        let mut time = Vec::with_capacity(24);
        self.texts.push(&mut time, at);
        let plan = PLANS[if customer == 0 { 2 } else { customer % 7 % 3 }];
        let mut properties = format!(
            "{{\"plan\":\"{plan}\",\"channel\":\"{}\",\"region\":\"{}\"",
            CHANNELS[choice.below(4) as usize],
            REGIONS[(user + customer) % REGIONS.len()],
        );
        if KINDS[kind].0 == "purchase" {
            properties.push_str(&format!(",\"amount_cents\":{}", 500 + choice.long_tailed(4_000.0, 500_000.0)));
        }
        properties.push('}');
        Made {
            at,
            id: String::from_utf8(id).unwrap_or_default(),
            time: String::from_utf8(time).unwrap_or_default(),
            kind,
            endpoint: self.of_endpoints.pick(&mut self.choice),
            customer,
            user: format!("u-{user:06}"),
            project: user % PROJECTS.len(),
            properties,
            usage,
            model: self.choice.below(4) as usize % MODELS.len(),
        }
    }
}

/// A number for the ids of the events of `plan`, another one for another plan.
fn run_of(plan: SeedPlan) -> u32 {
    let mut hasher = blake3::Hasher::new();
    for number in [plan.seed, plan.events, u64::from(plan.users), u64::from(plan.customers), u64::from(plan.days)] {
        hasher.update(&number.to_le_bytes());
    }
    hasher.update(&plan.until.micros().to_le_bytes());
    u32::from_le_bytes(hasher.finalize().as_bytes()[..4].try_into().unwrap_or_default())
}
