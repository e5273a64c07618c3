//! The machine with the database dies, is cut off, or is replaced, under load.
//!
//! `docs/scaling.md` has the figures that this prints. `just torture ha` runs all faults, and the
//! short form some of them. `TORTURE_FAULTS=Kill,Cut` names those to run.

mod newcomers;
mod probe;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::history::{Moment, World, history};
use crate::machines::{Machines, are_installed};
use crate::support::{Programs, is_long};
use newcomers::Newcomers;
use probe::{Pages, Probe};

/// The time within which the site must answer again after a fault.
const SOON: Duration = Duration::from_secs(30);

/// How long pages may still come from memory after an instance was cut off.
const KNOWN: Duration = Duration::from_secs(1);

/// How long somebody who is cut off waits for an answer.
const ANSWER: Duration = Duration::from_millis(4_500);

/// How long an instance is cut off from the database.
const ALONE: Duration = Duration::from_secs(8);

/// How long the primary has nobody that follows it.
const UNFOLLOWED: Duration = Duration::from_secs(15);

/// The pause of each client after an act. The database's machines, and whatever watches them, share
/// the processors with the clients here.
const PAUSE: Duration = Duration::from_millis(10);

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The primary's machine loses its power, and gets it back.
    Kill,
    /// The primary's machine loses its network, and gets it back.
    Cut,
    /// Both machines that follow the primary lose their power, and get it back.
    Unfollowed,
    /// An operator makes another machine the primary.
    SwitchOver,
    /// An operator restarts all machines, one after the other, the primary last.
    Restarts,
    /// An instance loses its network to the database, but not to its visitors.
    Instance,
}

const ALL: [Fault; 6] = [
    Fault::Instance,
    Fault::SwitchOver,
    Fault::Kill,
    Fault::Cut,
    Fault::Unfollowed,
    Fault::Restarts,
];

const SHORT: [Fault; 3] = [Fault::Instance, Fault::Kill, Fault::Cut];

/// What happened to the instances because of a fault.
struct Report {
    fault: Fault,
    from: Moment,
    until: Moment,
    /// The time until each of them answered again.
    again: Vec<Duration>,
}

/// All who watch the site, beside the clients whose history is checked.
struct Watch<'a> {
    machines: &'a mut Machines,
    world: &'a World,
    probes: &'a [Probe],
    pages: &'a [Pages],
}

impl Watch<'_> {
    /// Lets something go wrong, and waits until the site answers and all machines are back.
    fn go_wrong(&mut self, fault: Fault) -> Vec<Report> {
        match fault {
            Fault::Restarts => self.restarts(),
            Fault::Instance => vec![self.instance()],
            Fault::Unfollowed => vec![self.unfollowed()],
            _ => vec![self.primary(fault)],
        }
    }

    /// Waits until all instances answer again, and reports since `start`.
    fn recovered(&self, fault: Fault, from: Moment, start: Instant) -> Report {
        let again = self.probes.iter().map(|probe| probe.until_steady(start)).collect();
        Report { fault, from, until: self.world.now(), again }
    }

    fn primary(&mut self, fault: Fault) -> Report {
        let primary = self.machines.until_whole();
        let (from, start) = (self.world.now(), Instant::now());
        match fault {
            Fault::Kill => self.machines.kill(primary),
            Fault::Cut => self.machines.cut(primary, true),
            _ => self.machines.switch_over(primary),
        }
        let is_cut = Instant::now();
        let report = self.recovered(fault, from, start);
        match fault {
            Fault::Kill => self.machines.resume(primary),
            Fault::Cut => {
                // Long before anybody can be the next primary.
                let window = is_cut + KNOWN..is_cut + KNOWN * 6;
                self.pages.iter().for_each(|pages| pages.assert_none_shown(&window));
                self.machines.cut(primary, false);
            }
            _ => {}
        }
        self.machines.until_whole();
        report
    }

    fn restarts(&mut self) -> Vec<Report> {
        let primary = self.machines.until_whole();
        let order = (0..3).filter(|number| *number != primary).chain([primary]);
        let mut reports = Vec::new();
        for number in order {
            let (from, start) = (self.world.now(), Instant::now());
            self.machines.stop(number);
            self.machines.resume(number);
            self.machines.until_whole();
            reports.push(self.recovered(Fault::Restarts, from, start));
        }
        reports
    }

    fn unfollowed(&mut self) -> Report {
        let primary = self.machines.until_whole();
        let others: Vec<usize> = (0..3).filter(|number| *number != primary).collect();
        let from = self.world.now();
        others.iter().for_each(|number| self.machines.kill(*number));
        let is_alone = Instant::now();
        std::thread::sleep(UNFOLLOWED);
        let until = Instant::now();
        others.iter().for_each(|number| self.machines.resume(*number));
        let report = self.recovered(Fault::Unfollowed, from, until);
        // Another machine may have had what was asked before.
        let span = is_alone..until;
        self.probes.iter().for_each(|probe| probe.assert_none_done(&span));
        let shown: usize = self.pages.iter().map(|pages| pages.shown(&span)).sum();
        println!("ha: {shown} kept pages were shown while nobody followed the primary");
        report
    }

    fn instance(&mut self) -> Report {
        self.machines.until_whole();
        self.machines.cut_instance(0, true);
        let (from, is_cut) = (self.world.now(), Instant::now());
        std::thread::sleep(ALONE);
        let until = Instant::now();
        self.machines.cut_instance(0, false);
        let report = self.recovered(Fault::Instance, from, until);
        self.pages[0].assert_none_shown(&(is_cut + KNOWN..until));
        let slowest = self.pages[0].slowest(&(is_cut..until));
        assert!(slowest < ANSWER, "a visitor waited {slowest:?}");
        for probe in &self.probes[1..] {
            let pause = probe.longest_pause(&(is_cut..until));
            assert!(pause < Duration::from_secs(2), "another instance paused for {pause:?}");
        }
        report
    }
}

/// Lets the faults happen one after the other under load, and checks everything that was answered.
fn survive(faults: &[Fault]) {
    let mut machines = Machines::start();
    let names = ["rocket-login"; 3].into_iter().chain(["views"; 3]).collect::<Vec<_>>();
    let programs = Programs::on((0..3).map(|number| machines.url(number)).collect(), &names);
    let ports: Vec<[u16; 2]> =
        (0..3).map(|number| [number, number + 3].map(|n| programs.all[n].port)).collect();
    let sites: Vec<u16> = ports.iter().map(|ports| ports[0]).collect();
    let newcomers = Newcomers::new(sites.clone());
    let probes: Vec<Probe> = ports.iter().map(|ports| Probe::new(*ports)).collect();
    let pages: Vec<Pages> = sites.iter().map(|port| Pages::new(*port)).collect();
    let (mut reports, over) = (Vec::new(), AtomicBool::new(false));

    let kind = machines.kind();
    let unknown = std::thread::scope(|scope| {
        scope.spawn(|| newcomers.go(&over));
        probes.iter().for_each(|probe| drop(scope.spawn(|| probe.go(&over))));
        pages.iter().for_each(|pages| drop(scope.spawn(|| pages.go(&over))));
        let done = std::panic::AssertUnwindSafe(|| {
            history("three machines with PostgreSQL", programs, PAUSE, |world| {
                let (probes, pages) = (&probes[..], &pages[..]);
                let mut watch = Watch { machines: &mut machines, world, probes, pages };
                for fault in faults {
                    reports.extend(watch.go_wrong(*fault));
                }
                over.store(true, Ordering::Relaxed);
                std::thread::sleep(Duration::from_secs(1));
                newcomers.check();
                faults.len()
            })
        });
        let done = std::panic::catch_unwind(done);
        over.store(true, Ordering::Relaxed);
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });

    for Report { fault, from, until, again } in &reports {
        let unknown = unknown.iter().filter(|at| (from..until).contains(at)).count();
        let slowest = again.iter().max().unwrap();
        println!(
            "ha, {kind}: {fault:?}: all instances answered after {:.1} s; {unknown} acts unknown",
            slowest.as_secs_f64()
        );
        assert!(*slowest < SOON, "{fault:?}: answered only after {slowest:?}");
    }
    println!("ha: {}", newcomers.figures());
}

#[test]
#[ignore = "just torture"]
fn nothing_acknowledged_is_lost_when_the_databases_machine_dies() {
    if !are_installed() {
        return;
    }
    if let Ok(names) = std::env::var("TORTURE_FAULTS") {
        let is_named = |fault: &&Fault| names.contains(&format!("{fault:?}"));
        return survive(&ALL.iter().filter(is_named).copied().collect::<Vec<_>>());
    }
    survive(if is_long() { &ALL } else { &SHORT });
}
