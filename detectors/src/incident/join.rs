//! Joining: which of the active stories an event belongs to.
use super::Correlator;
use super::kin::World;
use super::member::Member;
use super::story::Story;
use model::{FaultKind, IncidentId, Timestamp};

/// Another fault on the same device is told in the same story when the story's last sign is no older than this, in
/// seconds. Ours: as long as a cause usually explains things.
const SAME_DEVICE_S: f64 = 300.0;
/// Devices of one source that are lost within so many seconds of each other are lost together. Ours: a few beats.
const DRIVER_GONE_S: f64 = 5.0;

/// Why an event belongs to a story. The order is that of preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tie {
    /// It is on the same device, at the same time.
    SameDevice,
    /// It is the same fault on devices that share what is at fault.
    Together,
    /// It explains something that the story tells.
    Cause,
    /// Something that the story tells explains it.
    Symptom,
    /// The story's cause explains it.
    OfTheCause,
}

impl Correlator {
    /// The story that an event ties in with best, the older one where two do so equally well.
    pub(super) fn choose(&self, at: Timestamp, event: &Member, world: World<'_>) -> Option<(usize, Tie)> {
        let ties = self
            .stories
            .iter()
            .enumerate()
            .filter_map(|(place, story)| self.tie(at, story, event, world).map(|tie| (place, tie)));
        ties.max_by_key(|(place, tie)| (*tie, std::cmp::Reverse(self.stories[*place].incident.id)))
    }

    fn tie(&self, at: Timestamp, story: &Story, event: &Member, world: World<'_>) -> Option<Tie> {
        let id = story.incident.id;
        let own = self.members.iter().filter(|member| member.incident == id);
        let fresh = at.seconds_since(story.incident.last) <= SAME_DEVICE_S;
        own.filter_map(|member| {
            if member.explains(event, world) {
                let leads = super::story::leads(story, member.event);
                return Some(if leads { Tie::OfTheCause } else { Tie::Symptom });
            }
            // What a story explains already is no bridge to another one.
            if !member.explained && event.explains(member, world) {
                return Some(Tie::Cause);
            }
            if self.together(member, event, world) {
                return Some(Tie::Together);
            }
            (fresh && world.same(member.device, event.device)).then_some(Tie::SameDevice)
        })
        .max()
    }

    /// Whether the same fault on two devices is one.
    fn together(&self, member: &Member, event: &Member, world: World<'_>) -> bool {
        if member.fault != event.fault || world.same(member.device, event.device) {
            return false;
        }
        let apart_s = event.since.seconds_since(member.since).max(member.since.seconds_since(event.since));
        match event.fault {
            FaultKind::SourceHung => world.source_and_device(member.device, event.device),
            FaultKind::DeviceLost => {
                apart_s <= DRIVER_GONE_S
                    && world.one_source(member.device, event.device)
                    && self.driver_gone(event, world)
            }
            FaultKind::LinkErrors | FaultKind::LinkDown | FaultKind::Xid => {
                let alike = member.row.sign == event.row.sign && apart_s <= event.row.together_s;
                alike && world.linked(member.device, event.device)
            }
            // A brake that is on for the whole node may reach a further device at any time.
            FaultKind::PowerBrake => member.active || apart_s <= event.row.together_s,
            _ => apart_s < event.row.together_s,
        }
    }

    /// Whether every accelerator of an event's source is lost: then it is the driver, and not one device after another.
    fn driver_gone(&self, event: &Member, world: World<'_>) -> bool {
        let lost = |device| self.lost.contains(&device);
        let mut count = 0;
        let all = world.siblings(event.device).inspect(|_| count += 1).all(lost);
        all && count > 1
    }

    /// Stories that an event explains as well, beside the one that it belongs to.
    pub(super) fn explained_too(
        &self,
        home: IncidentId,
        event: &Member,
        world: World<'_>,
    ) -> Option<IncidentId> {
        let other = |member: &&Member| {
            member.incident != home && event.explains(member, world) && self.leads_its_story(member)
        };
        self.members.iter().find(other).map(|member| member.incident)
    }

    /// Whether a member is the cause of its story: only a whole story goes over to another, never a footnote of one.
    fn leads_its_story(&self, member: &Member) -> bool {
        let story = self.stories.iter().find(|story| story.incident.id == member.incident);
        story.is_some_and(|story| super::story::leads(story, member.event))
    }
}
