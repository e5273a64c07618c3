//! Machines of `deploy/ha`: three with PostgreSQL and Patroni, and three with etcd and HAProxy, beside
//! which an instance of ours runs. They run from the files that operators get.

mod network;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, from_str};
use tempfile::TempDir;

use crate::servers::{
    Running, clean, find, folder, has, is_installed, programs, signal, unprivileged, write,
};
use network::Network;

const ETCD: &str = include_str!("../../deploy/ha/etcd.env");
const PATRONI: &str = include_str!("../../deploy/ha/patroni.yml");
const HAPROXY: &str = include_str!("../../deploy/ha/haproxy.cfg");

/// The password in `patroni.yml` of the role `postgres`.
const PASSWORD: &str = "CHANGE-ME-2";

/// The time limit for machines to start, or to follow the primary again, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// Three machines with the database, 0 to 2, and three for instances.
pub struct Machines {
    // Dropped in this order: the servers before the network and the folder.
    databases: Vec<Option<Running>>,
    proxies: Vec<Running>,
    _etcd: Vec<Running>,
    network: Network,
    dir: TempDir,
}

/// Returns true if everything is installed that the machines need.
pub fn are_installed() -> bool {
    let tools = ["patroni", "patronictl", "etcd", "haproxy", "curl"];
    is_installed() && tools.into_iter().all(|tool| has(find(tool).is_some(), tool))
}

impl Machines {
    /// Starts all machines, and waits until one PostgreSQL is the primary and two follow it.
    pub fn start() -> Self {
        let (dir, network) = (folder(), Network::new());
        let (databases, proxies, etcd) = (Vec::new(), Vec::new(), Vec::new());
        let mut machines = Machines { databases, proxies, _etcd: etcd, network, dir };
        for number in 0..3 {
            fs::create_dir(machines.app(number)).unwrap();
            let (etcd, proxy) = (machines.start_etcd(number), machines.start_proxy(number));
            machines._etcd.push(etcd);
            machines.proxies.push(proxy);
        }
        // Patroni ends if it asks etcd before that.
        machines.until("etcd has agreed on its version", |machines| {
            machines.curl(3, ":2379/version").is_some_and(|(_, body)| !body.contains("not_decided"))
        });
        for number in 0..3 {
            machines.configure_database(number);
            machines.databases.push(None);
            machines.resume(number);
        }
        machines.until_whole();
        machines.create_database();
        machines
    }

    /// Says how the machines are kept apart.
    pub fn kind(&self) -> &'static str {
        self.network.kind()
    }

    /// The address of the database for the instance `number`: its own HAProxy.
    pub fn url(&self, number: usize) -> String {
        let socket = self.app(number);
        format!("postgres://login:secret@localhost/login?host={}", socket.display())
    }

    fn database(&self, number: usize) -> PathBuf {
        self.dir.path().join(format!("db{}", number + 1))
    }

    fn app(&self, number: usize) -> PathBuf {
        self.dir.path().join(format!("app{}", number + 1))
    }

    /// Starts etcd from the file for operators, with the name and the addresses of the machine.
    fn start_etcd(&self, number: usize) -> Running {
        let (own, dir) = (format!("app{}", number + 1), self.app(number));
        let own_lines = ETCD.lines().filter_map(|line| line.split_once('='));
        let own_lines = own_lines.filter(|(name, _)| name.starts_with("ETCD_"));
        let lines = own_lines.map(|(name, value)| match name {
            "ETCD_NAME" => (name, own.clone()),
            "ETCD_DATA_DIR" => (name, dir.join("etcd").display().to_string()),
            "ETCD_INITIAL_CLUSTER" => (name, self.network.localize(value)),
            _ => {
                let address = network::address(3 + number);
                (name, self.network.localize(&value.replace("10.0.0.21", &address)))
            }
        });
        self.give(&dir);
        let mut etcd = self.network.on(3 + number, &find("etcd").unwrap());
        etcd.envs(lines);
        self.spawn(etcd, &dir, "etcd")
    }

    /// Adapts Patroni's file for operators: the name, addresses and folders of the machine.
    fn configure_database(&self, number: usize) {
        let (own, dir) = (format!(": db{}", number + 1), self.database(number));
        fs::create_dir(&dir).unwrap();
        let path = |name: &str| dir.join(name).display().to_string();
        let lines = PATRONI.lines().map(|line| match line.contains("# this machine") {
            true => line.replace("10.0.0.11", &network::address(number)).replace(": db1", &own),
            false => line.to_owned(),
        });
        let lines = lines.map(|line| self.network.localize_patroni(&line, number));
        let text = lines
            .collect::<Vec<_>>()
            .join("\n")
            .replace("/usr/lib/postgresql/15/bin", &programs().unwrap().display().to_string())
            .replace("/var/lib/postgresql/15/login", &path("data"))
            .replace("/var/lib/postgresql/patroni.pgpass", &path("pgpass"))
            .replace("/var/run/postgresql", &path(""));
        write(dir.join("patroni.yml"), &text);
        self.give(&dir);
    }

    fn give(&self, dir: &Path) {
        let mut chown = Command::new("chown");
        chown.arg("-R").arg("--reference").arg(self.dir.path()).arg(dir);
        assert!(chown.status().unwrap().success());
    }

    /// Starts a process of the machine `number`, with its output in a file of its folder.
    fn spawn(&self, mut command: Command, dir: &Path, name: &str) -> Running {
        let mut log = fs::OpenOptions::new();
        let log = log.create(true).append(true).open(dir.join(format!("{name}.log"))).unwrap();
        command.current_dir(dir).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        Running::spawn(command)
    }

    fn start_proxy(&self, number: usize) -> Running {
        let dir = self.app(number);
        let socket = format!("unix@{}/.s.PGSQL.5432 mode 666", dir.display());
        let text = self.network.localize_proxy(&HAPROXY.replace("127.0.0.1:5432", &socket));
        write(dir.join("haproxy.cfg"), &text);
        let mut proxy = self.network.on(3 + number, &find("haproxy").unwrap());
        proxy.args(["-db", "-f", "haproxy.cfg"]);
        self.spawn(proxy, &dir, "haproxy")
    }

    fn create_database(&self) {
        let url = format!(
            "postgres://postgres:{PASSWORD}@localhost/postgres?host={}",
            self.app(0).display()
        );
        let sql =
            ["CREATE ROLE login LOGIN PASSWORD 'secret'", "CREATE DATABASE login OWNER login"];
        for sql in sql {
            // HAProxy may not have seen the primary yet.
            self.until(sql, |_| {
                let mut psql = unprivileged(clean(programs().unwrap().join("psql")));
                let done = psql.args(["-qX", &url, "-c", sql]).output().unwrap();
                let error = String::from_utf8_lossy(&done.stderr);
                done.status.success() || error.contains("already exists")
            });
        }
    }

    /// Asks a server of the machine `number`, on that machine. Returns status and body.
    fn curl(&self, number: usize, place: &str) -> Option<(u16, String)> {
        let mut curl = self.network.on(number, &find("curl").unwrap());
        let url = format!("http://{}{place}", self.network.address(number));
        let done = curl.args(["-s", "-m", "2", "-w", "\n%{http_code}", &url]).output().unwrap();
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        let (body, status) = text.rsplit_once('\n')?;
        Some((status.parse().ok()?, body.to_owned()))
    }

    /// Waits until `is_done` returns true.
    fn until(&self, what: &str, is_done: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !is_done(self) {
            let seen = || (0..3).map(|number| self.curl(number, ":8008/cluster"));
            let seen = || seen().collect::<Vec<_>>();
            assert!(start.elapsed() < PATIENCE, "not so: {what}: {:?} {}", seen(), self.logs());
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// Returns the machine whose Patroni says that it has the primary.
    pub fn primary(&self) -> Option<usize> {
        (0..3).find(|number| self.curl(*number, ":8008/primary").is_some_and(|said| said.0 == 200))
    }

    /// Returns true if two machines follow the primary, one of them with every commit.
    fn is_whole(&self) -> bool {
        let Some(primary) = self.primary() else { return false };
        let Some((_, body)) = self.curl(primary, ":8008/cluster") else { return false };
        let Ok(said) = from_str::<Value>(&body) else { return false };
        let members = said["members"].as_array().cloned().unwrap_or_default();
        let is_up = |member: &&Value| {
            member["state"] == "running" && member["timeline"] == members[0]["timeline"]
        };
        let mut roles: Vec<&str> =
            members.iter().filter(is_up).filter_map(|member| member["role"].as_str()).collect();
        roles.sort_unstable();
        roles == ["leader", "replica", "sync_standby"]
    }

    /// Waits until two machines follow the primary. Returns the machine with the primary.
    pub fn until_whole(&self) -> usize {
        self.until("two machines follow the primary", Self::is_whole);
        self.primary().unwrap_or_else(|| panic!("no primary: {}", self.logs()))
    }

    /// Returns the ends of all logs.
    fn logs(&self) -> String {
        let mut text = String::new();
        for number in 0..3 {
            let logs = [(self.app(number), "etcd.log"), (self.database(number), "patroni.log")];
            for path in logs.map(|(dir, name)| dir.join(name)) {
                let log = fs::read_to_string(&path).unwrap_or_default();
                let last: Vec<&str> = log.lines().rev().take(12).collect();
                text += &format!("\n== {}", path.display());
                last.iter().rev().for_each(|line| text += &format!("\n{line}"));
            }
        }
        text
    }

    /// Kills everything on a machine at once, as when its power fails.
    pub fn kill(&mut self, number: usize) {
        loop {
            let ids = processes_in(&self.database(number));
            if ids.is_empty() {
                break;
            }
            let mut kill = Command::new("kill");
            let _ = kill.arg("-KILL").args(&ids).stderr(Stdio::null()).status();
        }
        self.databases[number] = None;
    }

    /// Starts a machine, as after its power has come back.
    pub fn resume(&mut self, number: usize) {
        let mut patroni = self.network.on(number, &find("patroni").unwrap());
        patroni.arg("patroni.yml");
        self.databases[number] = Some(self.spawn(patroni, &self.database(number), "patroni"));
    }

    /// Stops a machine in order.
    pub fn stop(&mut self, number: usize) {
        if let Some(patroni) = &mut self.databases[number] {
            signal("TERM", patroni.id());
            patroni.wait();
        }
        self.kill(number);
    }

    /// Cuts a machine with the database off from all others, or connects it again.
    pub fn cut(&self, number: usize, is_cut: bool) {
        self.network.cut(number, is_cut, None);
    }

    /// Cuts an instance off from all machines with the database, or connects it again.
    pub fn cut_instance(&self, number: usize, is_cut: bool) {
        self.network.cut(3 + number, is_cut, Some(&self.proxies[number]));
    }

    /// Asks Patroni to make another machine the primary, and waits until it is.
    pub fn switch_over(&self, from: usize) {
        let path = self.database(from).join("patroni.yml");
        let mut ctl = self.network.on(from, &find("patronictl").unwrap());
        ctl.arg("-c").arg(path).args(["switchover", "login", "--force"]);
        let Output { status, stdout, stderr } = ctl.output().unwrap();
        let text = [stdout, stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        assert!(status.success(), "{text:?}");
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
        for number in 0..self.databases.len() {
            self.kill(number);
        }
    }
}

/// Returns the processes that run in a folder or below it. PostgreSQL leaves the group and the
/// parent of the process that has started it, but it runs in its data folder.
fn processes_in(dir: &Path) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let inside = processes.filter(|process| {
        fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(dir))
    });
    inside.filter_map(|process| process.file_name().into_string().ok()).collect()
}
