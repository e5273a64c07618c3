//! Keeps machines apart, and cuts them off.
//!
//! As root, each machine has a network namespace of its own, and all are connected by a switch in
//! another one. They have the addresses of `deploy/ha`. The namespaces have no names: they go when
//! their last process does, and nothing outside of them changes.
//!
//! Where that is not allowed, as in most containers, each machine has a loopback address. Between
//! one with the database and all others there is a relay, which is suspended to cut the machine off:
//! connections stay open, and nothing comes through.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::servers::{Running, clean, find, is_root, signal, unprivileged};

pub enum Network {
    Namespaces {
        switch: Running,
        machines: Vec<Running>,
    },
    /// The second number of the addresses, and the relays.
    Loopback {
        net: u8,
        relays: Vec<Running>,
        _dir: tempfile::TempDir,
    },
}

/// The address of a machine in the files for operators.
pub fn address(number: usize) -> String {
    match number {
        0..3 => format!("10.0.0.{}", 11 + number),
        _ => format!("10.0.0.{}", 18 + number),
    }
}

impl Network {
    pub fn new() -> Self {
        match is_root() && std::env::var_os("TORTURE_LOOPBACK").is_none() {
            true => Self::namespaces().unwrap_or_else(Self::loopback),
            false => Self::loopback(),
        }
    }

    /// Makes a namespace for each machine. None means that this is not allowed.
    fn namespaces() -> Option<Self> {
        let switch = namespace()?;
        run(&switch, "ip link add br0 type bridge")?;
        run(&switch, "ip link set br0 up")?;
        let mut machines = Vec::new();
        for number in 0..6 {
            let machine = namespace()?;
            let (id, address) = (machine.id(), address(number));
            run(&switch, &format!("ip link add m{number} type veth peer name eth0 netns {id}"))?;
            run(&switch, &format!("ip link set m{number} master br0 up"))?;
            run(&machine, "ip link set lo up")?;
            run(&machine, &format!("ip address add {address}/24 dev eth0"))?;
            run(&machine, "ip link set eth0 up")?;
            machines.push(machine);
        }
        Some(Network::Namespaces { switch, machines })
    }

    fn loopback() -> Self {
        // Another test may run at the same time.
        let net = (std::process::id() % 250 + 2) as u8;
        let dir = crate::servers::folder();
        let relays = (0..3).map(|number| relay(net, number, dir.path())).collect();
        Network::Loopback { net, relays, _dir: dir }
    }

    pub fn kind(&self) -> &'static str {
        match self {
            Network::Namespaces { .. } => "network namespaces",
            Network::Loopback { .. } => "loopback addresses",
        }
    }

    /// The address at which a machine's own processes reach each other.
    pub fn address(&self, number: usize) -> String {
        match self {
            Network::Namespaces { .. } => address(number),
            Network::Loopback { .. } => self.localize(&address(number)),
        }
    }

    /// Replaces the addresses in the files for operators by those of the machines themselves.
    pub fn localize(&self, text: &str) -> String {
        match self {
            Network::Namespaces { .. } => text.to_owned(),
            Network::Loopback { net, .. } => text.replace("10.0.0.", &format!("127.{net}.1.")),
        }
    }

    /// Replaces the addresses in HAProxy's file by those at which others reach a machine.
    pub fn localize_proxy(&self, text: &str) -> String {
        match self {
            Network::Namespaces { .. } => text.to_owned(),
            Network::Loopback { net, .. } => text.replace("10.0.0.", &format!("127.{net}.2.")),
        }
    }

    /// Replaces the addresses in a line of Patroni's file on the machine `number`.
    pub fn localize_patroni(&self, line: &str, number: usize) -> String {
        let Network::Loopback { net, .. } = self else { return line.to_owned() };
        if line.contains("hosts:") {
            let relay = format!("127.{net}.2.{}:2379", 11 + number);
            return format!("  hosts: ['{relay}']\n  use_proxies: true");
        }
        let place = if line.contains("connect_address") { 2 } else { 1 };
        line.replace("10.0.0.0/24", "127.0.0.0/8")
            .replace("10.0.0.", &format!("127.{net}.{place}."))
    }

    /// A command for `program` on a machine.
    pub fn on(&self, number: usize, program: &Path) -> Command {
        match self {
            Network::Namespaces { machines, .. } => {
                let mut command = clean("nsenter");
                command.arg(format!("--net=/proc/{}/ns/net", machines[number].id()));
                command.args(["--setuid", "65534", "--setgid", "65534"]).arg(program);
                command
            }
            Network::Loopback { .. } => unprivileged(clean(program)),
        }
    }

    /// Cuts a machine off from all others, or connects it again. On a loopback address, a machine
    /// without the database reaches it through `proxy`.
    pub fn cut(&self, number: usize, is_cut: bool, proxy: Option<&Running>) {
        match self {
            Network::Namespaces { switch, .. } => {
                let state = if is_cut { "down" } else { "up" };
                run(switch, &format!("ip link set m{number} {state}")).unwrap();
            }
            Network::Loopback { relays, .. } => {
                let relay = proxy.or(relays.get(number)).expect("something to suspend");
                signal(if is_cut { "STOP" } else { "CONT" }, relay.id());
            }
        }
    }
}

/// Starts a process that holds a new network namespace. None means that this is not allowed.
fn namespace() -> Option<Running> {
    let mut holder = clean(find("unshare")?);
    holder.args(["--net", "sleep", "infinity"]);
    let mut holder = Running::start(holder);
    let start = Instant::now();
    let of = |id: &str| std::fs::read_link(format!("/proc/{id}/ns/net")).ok();
    while of(&holder.id().to_string()) == of("self") {
        if holder.has_ended() || start.elapsed() > Duration::from_secs(10) {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Some(holder)
}

/// Runs a command in a namespace. None means that it failed.
fn run(holder: &Running, command: &str) -> Option<()> {
    let mut nsenter = clean(find("nsenter")?);
    nsenter.arg(format!("--net=/proc/{}/ns/net", holder.id())).args(command.split(' '));
    let status = nsenter.stdin(Stdio::null()).stderr(Stdio::null()).status().ok()?;
    status.success().then_some(())
}

/// Starts the relay between a machine with the database, on a loopback address, and all others.
fn relay(net: u8, number: usize, dir: &Path) -> Running {
    let (own, seen) =
        (format!("127.{net}.1.{}", 11 + number), format!("127.{net}.2.{}", 11 + number));
    let mut text =
        "defaults\n  mode tcp\n  retries 0\n  timeout connect 2s\n  timeout client 1h\n  \
                    timeout server 1h\n"
            .to_owned();
    for port in [5432, 8008] {
        text += &format!("listen at{port}\n  bind {seen}:{port}\n  server own {own}:{port}\n");
    }
    text += &format!("listen etcd\n  bind {seen}:2379\n");
    for other in 21..24 {
        text += &format!("  server app{other} 127.{net}.1.{other}:2379 check inter 1s\n");
    }
    let path = dir.join(format!("relay{number}.cfg"));
    crate::servers::write(&path, &text);
    let mut relay = unprivileged(clean(find("haproxy").expect("asked for before")));
    relay.args(["-db", "-f"]).arg(path).current_dir(dir);
    Running::start(relay)
}
