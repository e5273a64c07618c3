-- wrk's side of the bench. Its arguments are `-- METHOD PATH BODY COOKIES`; the last one is
-- a file with one cookie per line, where an empty line means no cookie. The threads divide
-- the cookies, so with as many cookies as connections each has about one.

local threads = {}

function setup(thread)
  thread:set("number", #threads)
  threads[#threads + 1] = thread
end

local requests, at = {}, 0

-- Of one thread: the requests that were made, and how many there are before the first comes again.
made, different = 0, 0

function init(args)
  local method, path, body, cookies = unpack(args)
  local lines = {}
  for line in io.lines(cookies) do
    lines[#lines + 1] = line
  end
  for place, line in ipairs(lines) do
    if #lines == 1 or place % 2 == number % 2 then
      local headers = { Host = "localhost" }
      if line ~= "" then
        headers["Cookie"] = line
      end
      if body ~= "" then
        headers["Content-Type"] = "application/x-www-form-urlencoded"
      end
      requests[#requests + 1] = wrk.format(method, path, headers, body ~= "" and body or nil)
    end
  end
  different = #requests
end

-- Every line of the table uses this function, so its cost is in both sides of a ratio.
function request()
  at = at % #requests + 1
  made = made + 1
  return requests[at]
end

function done(summary, latency)
  local errors, again = summary.errors, 0
  for _, thread in ipairs(threads) do
    again = again + math.max(0, thread:get("made") - thread:get("different"))
  end
  io.write(string.format(
    "DONE %d %d %d %d %d %d\n",
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout, again
  ))
end
