-- Dissectors for Wireshark 4.0 and later: SIMP 1.0, IMTP and PITP. README.md says how to install them and
-- what their fields are called.
--
-- Each protocol takes whole units (messages; elements of a stream) out of the stream of octets, asks for more
-- octets where a unit is cut, shows it, and remembers requests by connection, direction and id, so that each
-- is linked with its response. What is against the protocol becomes expert information, never an error of Lua.

set_plugin_info({
  version = "1.0.0",
  author = "the authors of hearth",
  description = "SIMP 1.0, IMTP and PITP: instant messages and presence between homes",
})

-- Beyond these a stream is not waited for: it is shown as what it is not. The servers' own limits are lower.
local MAX_HEAD = 65536
local MAX_PAYLOAD = 16 * 1024 * 1024
local MAX_ELEMENT = 4 * 1024 * 1024

-- ---------------------------------------------------------------------------------------------------------
-- What all three have in common
-- ---------------------------------------------------------------------------------------------------------

--- What is remembered of a capture: requests that wait, by connection, and for each message that was dissected
-- the request it is or answers. The first pass fills it in, every later pass only reads.
local function new_memory()
  return { waiting = {}, seen = {}, turn = {} }
end

--- The two ends of a frame's connection, that of the sender first. The number of the TCP stream would be better,
-- but Wireshark's first pass does not tell it: see `forget`.
local function ends(pinfo)
  return tostring(pinfo.src) .. " " .. pinfo.src_port, tostring(pinfo.dst) .. " " .. pinfo.dst_port
end

local function connection(pinfo)
  local one, other = ends(pinfo)
  return one < other and one .. "-" .. other or other .. "-" .. one
end

--- A connection begins: what waits on an earlier one between the same ports is never answered.
local function forget(memory, pinfo, is_stale)
  local sender = ends(pinfo) .. "|"
  for slot, request in pairs(not pinfo.visited and memory.waiting[connection(pinfo)] or {}) do
    if is_stale(request, slot:sub(1, #sender) == sender) then
      memory.waiting[connection(pinfo)][slot] = nil
    end
  end
end

--- The request that a message is (`is_request`) or answers; nil if it answers none that was seen.
-- A request: frame, time, what (as told), reused (frame of the request whose id it took too early),
-- answer_frame, answer_time, and whatever the protocol keeps with it.
local function matched(memory, pinfo, id, is_request, what)
  local sender, receiver = ends(pinfo)
  local slot = (is_request and sender or receiver) .. "|" .. id
  -- A frame may hold the same id more than once, if wrongly: its passes take them in turn.
  local key = pinfo.number .. (is_request and "?" or "!") .. slot
  local here = memory.seen[key] or {}
  if pinfo.visited then
    memory.turn[key] = (memory.turn[key] or 0) % math.max(#here, 1) + 1
    return here[memory.turn[key]] or nil
  end
  local place = connection(pinfo)
  local waiting = memory.waiting[place] or {}
  local request = waiting[slot]
  if is_request then
    local earlier = request
    request = { frame = pinfo.number, time = pinfo.rel_ts, what = what, reused = earlier and earlier.frame }
    waiting[slot] = request
  elseif request then
    request.answer_frame, request.answer_time = pinfo.number, pinfo.rel_ts
    waiting[slot] = nil
  end
  here[#here + 1] = request or false
  memory.seen[key], memory.waiting[place] = here, waiting
  return request
end

local function elapsed(from, to)
  local span = to - from
  local seconds = math.floor(span)
  return NSTime.new(seconds, math.floor((span - seconds) * 1e9 + 0.5))
end

--- The fields and expert information that each protocol has of its matching.
local function matching_fields(abbr)
  return {
    response_in = ProtoField.framenum(abbr .. ".response_in", "Response in frame", base.NONE, frametype.RESPONSE),
    request_in = ProtoField.framenum(abbr .. ".request_in", "Request in frame", base.NONE, frametype.REQUEST),
    time = ProtoField.relative_time(abbr .. ".time", "Time since the request"),
  }
end

local function expert_fields(abbr)
  return {
    broken = ProtoExpert.new(abbr .. ".broken", "This is not the protocol", expert.group.MALFORMED, expert.severity.ERROR),
    violation = ProtoExpert.new(abbr .. ".violation", "Against the protocol", expert.group.PROTOCOL, expert.severity.WARN),
    refused = ProtoExpert.new(abbr .. ".refused", "The request was refused", expert.group.RESPONSE_CODE, expert.severity.NOTE),
    unmatched = ProtoExpert.new(abbr .. ".unmatched", "A response to no request that was seen", expert.group.SEQUENCE, expert.severity.WARN),
    unanswered = ProtoExpert.new(abbr .. ".unanswered", "No response was seen", expert.group.SEQUENCE, expert.severity.NOTE),
    reused = ProtoExpert.new(abbr .. ".reused", "The id is still in use", expert.group.SEQUENCE, expert.severity.WARN),
    secret = ProtoExpert.new(abbr .. ".secret", "A password is readable", expert.group.SECURITY, expert.severity.WARN),
  }
end

local function generated(item)
  item:set_generated()
  return item
end

--- Adds the links between a request and its response.
local function add_match(tree, fields, experts, pinfo, request, is_request)
  if not request then
    if not is_request then
      tree:add_proto_expert_info(experts.unmatched)
    end
    return
  end
  if is_request then
    if request.answer_frame then
      generated(tree:add(fields.response_in, request.answer_frame))
    elseif pinfo.visited then
      tree:add_proto_expert_info(experts.unanswered)
    end
    if request.reused then
      tree:add_proto_expert_info(experts.reused, "The id is still in use by the request in frame " .. request.reused)
    end
  else
    generated(tree:add(fields.request_in, request.frame))
    generated(tree:add(fields.time, elapsed(request.time, request.answer_time)))
  end
end

local media_types = DissectorTable.get("media_type")
local text_lines = Dissector.get("data-text-lines")
local data = Dissector.get("data")
local xml = Dissector.get("xml")

--- Shows octets as what their media type says, as far as Wireshark can.
local function show_media(content_type, tvb, pinfo, tree)
  local kind = (content_type:match("^%s*([^;%s]+)") or ""):lower()
  if tvb:len() == 0 then
    return
  end
  local text = tvb:raw()
  if kind == "application/presence" then
    text_lines:call(tvb, pinfo, tree)
  elseif media_types:try(kind, tvb, pinfo, tree) ~= 0 then
    return
  elseif kind:match("[/+]xml$") then
    xml:call(tvb, pinfo, tree)
  elseif kind:match("^text/") and not text:find("\0") then
    text_lines:call(tvb, pinfo, tree)
  else
    data:call(tvb, pinfo, tree)
  end
end

--- Dissects all units of a stream that the octets hold. `measure(octets, at)` gives the size of the unit at
-- a place (counted from 1); or nil and how many octets are lacking, if it can be known; or nil, nil and what
-- is wrong. `show(range, octets, at, size)` adds it to the tree and returns its line for the column.
local function dissect_stream(protocol, tvb, pinfo, tree, experts, measure, show)
  pinfo.cols.protocol = protocol.name
  local octets, at, lines = tvb:raw(), 1, {}
  while at <= #octets do
    local size, lacking, wrong = measure(octets, at)
    if wrong then
      local rest = tree:add(protocol, tvb(at - 1), protocol.name .. ", not readable")
      rest:add_proto_expert_info(experts.broken, wrong)
      lines[#lines + 1] = "[not readable: " .. wrong .. "]"
      break
    elseif not size then
      pinfo.desegment_offset = at - 1
      pinfo.desegment_len = lacking or DESEGMENT_ONE_MORE_SEGMENT
      break
    end
    lines[#lines + 1] = show(tvb(at - 1, size), octets, at, size)
    at = at + size
  end
  if #lines > 0 then
    pinfo.cols.info:clear()
    pinfo.cols.info:append(table.concat(lines, " ; ") .. " ")
    pinfo.cols.info:fence()
  end
  return tvb:len()
end

--- Makes the preference of a protocol's ports, and keeps it in step with Wireshark's tables.
local function serve(protocol, ports, alpn)
  protocol.prefs.ports = Pref.range("TCP ports", ports, "TCP ports on which " .. protocol.name .. " is spoken", 65535)
  local tcp, tls = DissectorTable.get("tcp.port"), DissectorTable.get("tls.alpn")
  local served = ports
  tcp:add(served, protocol)
  tls:add(alpn, protocol)
  function protocol.prefs_changed()
    local wanted = tostring(protocol.prefs.ports)
    if wanted ~= served then
      if served ~= "" then
        tcp:remove(served, protocol)
      end
      if wanted ~= "" then
        tcp:add(wanted, protocol)
      end
      served = wanted
    end
  end
end

-- ---------------------------------------------------------------------------------------------------------
-- IMTP and PITP: one wire, two services
-- ---------------------------------------------------------------------------------------------------------

-- What a command must have, whether it has a payload (no, may, must), and the same of its ok.
local METHODS = {
  auth = { payload = "may", ok_payload = "may" },
  shutdown = {},
  send = { needs = { "Sender", "Inbox" }, payload = "must", ok_payload = "may" },
  listen = { needs = { "Inbox" } },
  change = { needs = { "Presentity", "Mapping" }, payload = "may" },
  ["change-notify"] = { needs = { "Presentity", "Subscription" }, payload = "must" },
  ["delete-mapping"] = { needs = { "Presentity", "Mapping" } },
  fetch = { needs = { "Watcher", "Presentity" }, ok_payload = "must" },
  ["fetch-for-update"] = { needs = { "Presentity", "Mapping" }, ok_payload = "may" },
  ["fetch-notify"] = { needs = { "Watcher", "Presentity" } },
  ["get-class"] = { needs = { "Presentity", "Mapping" } },
  ["insert-mapping"] = { needs = { "Presentity", "Mapping" }, payload = "may" },
  ["set-class"] = { needs = { "Presentity", "Mapping" } },
  ["start-wi"] = { needs = { "Presentity" } },
  subscribe = { needs = { "Subscription", "Presentity" }, ok_payload = "must" },
  ["subscribe-notify"] = { needs = { "Subscription", "Presentity" } },
  terminate = { needs = { "Presentity", "Subscription" } },
  ["terminate-notify"] = { needs = { "Presentity", "Subscription" } },
  unsubscribe = { needs = { "Subscription", "Presentity" } },
  ["unsubscribe-notify"] = { needs = { "Presentity" } },
}
for name, rule in pairs(METHODS) do
  if name ~= "auth" and name ~= "shutdown" then
    rule.service = (name == "send" or name == "listen") and "IMTP" or "PITP"
  end
end

local HEADERS = {
  "Content-Length", "Content-Type", "Content-Transfer-Encoding", "Astrength", "Error-Type", "Error-Description",
  "Error-Originator", "Unreliable", "Mechanism", "Abort", "Presentity", "Watcher", "Mapping", "Wpattern",
  "Subscription", "Sender", "Inbox", "Only", "Except", "Visited", "Orig-Sender", "Orig-Inbox",
}
local REPEATS = { Wpattern = true, Subscription = true, Only = true, Except = true, ["Orig-Inbox"] = true }
local DEFAULT_TYPES = { IMTP = "text/plain; charset=UTF-8", PITP = "application/presence" }

--- The value of a header without its folds and the white space around it.
local function unfolded(raw)
  return (raw:gsub("[ \t]*\r\n[ \t]+", " "):gsub("^[ \t]+", ""):gsub("[ \t]+$", ""))
end

--- The headers of a message: a list of { name, value, from, to } by place, and the place after the empty line.
-- nil if the head is not whole; nil and a word if it cannot be read.
local function read_headers(octets, at)
  local headers = {}
  while true do
    local stop = octets:find("\r\n", at, true)
    local line = octets:sub(at, (stop or #octets + 1) - 1)
    if line:gsub("\r$", ""):find("[\r\n]") then
      return nil, "a CR or LF that stands alone"
    elseif not stop then
      return nil
    elseif line == "" then
      return headers, stop + 2
    elseif line:find("^[ \t]") then
      local last = headers[#headers]
      if not last then
        return nil, "a continuation of nothing"
      end
      last.raw, last.to = last.raw .. "\r\n" .. line, stop + 1
    else
      local name, raw = line:match("^([\33-\57\59-\126]+):(.*)$")
      if not name then
        return nil, "a line that is no header"
      end
      headers[#headers + 1] = { name = name, raw = raw, from = at, to = stop + 1 }
    end
    at = stop + 2
  end
end

--- How the start line at a place reads: a table with kind, id, method, names; nil if it is none.
local function read_start(line)
  local id, method = line:match("^>(%w+)[ \t]+([%w%-]+)[ \t]*$")
  if id then
    return { kind = "command", id = id, method = method }
  end
  local status
  id, status, method = line:match("^<(%w+)[ \t]+(%a+)[ \t]*%(([%w%-]+)%)[ \t]*$")
  if status == "ok" or status == "error" or status == "nrror" then
    return { kind = status == "ok" and "ok" or "error", id = id, method = method }
  end
  local word, names = line:match("^=(%w+)(.*)$")
  if word == "mech" or word == "mec8" then
    return { kind = "mech", names = names }
  elseif word then
    return { kind = "nop", word = word }
  end
  return line == "" and { kind = "empty" } or nil
end

--- Reads the message at a place; see `dissect_stream` for the first three results, the fourth is the message.
local function read_message(octets, at)
  local stop = octets:find("\r\n", at, true)
  local line = octets:sub(at, (stop or #octets + 1) - 1)
  if not line:find("^[=<>\r]") and line ~= "" then
    return nil, nil, "this is not the beginning of a message"
  elseif line:gsub("\r$", ""):find("[\r\n]") then
    return nil, nil, "a CR or LF that stands alone"
  elseif not stop then
    return nil, nil, #line > MAX_HEAD and "a start line without an end" or nil
  end
  local message = read_start(line)
  if not message then
    return nil, nil, "this is no start line"
  end
  message.line, message.body = line, stop + 2
  if message.kind == "mech" or message.kind == "nop" or message.kind == "empty" then
    return stop + 2 - at, nil, nil, message
  end
  local headers, after = read_headers(octets, stop + 2)
  if not headers then
    return nil, nil, after or (#octets - at > MAX_HEAD and "headers without an end" or nil)
  end
  message.headers, message.body, message.length = headers, after, 0
  for _, header in ipairs(headers) do
    header.value = unfolded(header.raw)
    if header.name == "Content-Length" and not message.has_payload then
      local length = header.value:match("^%d+$") and tonumber(header.value)
      if not length then
        return nil, nil, "Content-Length is no number"
      elseif length > MAX_PAYLOAD then
        return nil, nil, "a payload of " .. header.value .. " octets"
      end
      message.has_payload, message.length = true, length
    end
  end
  local size = after + message.length - at
  local lacking = at + size - 1 - #octets
  if lacking > 0 then
    return nil, lacking
  end
  return size, nil, nil, message
end

--- The first value of a header.
local function value_of(message, name)
  for _, header in ipairs(message.headers) do
    if header.name == name then
      return header.value
    end
  end
end

--- What is against the protocol in a command or response: a list of sentences.
local function violations(message, service)
  local found, rule = {}, METHODS[message.method]
  local function say(...)
    found[#found + 1] = string.format(...)
  end
  if not rule or rule.service and rule.service ~= service then
    if message.kind ~= "error" then
      say("%s has no method %s", service, message.method)
    end
    rule = nil
  end
  local counts = {}
  for _, header in ipairs(message.headers) do
    counts[header.name] = (counts[header.name] or 0) + 1
    if header.raw:find("[\0\1-\8\11\12\14-\31\127]") then
      say("%s has a control character", header.name)
    end
  end
  for _, name in ipairs(HEADERS) do
    if (counts[name] or 0) > 1 and not REPEATS[name] then
      say("%s stands there more than once: the first counts", name)
    end
  end
  if counts["Content-Transfer-Encoding"] then
    say("Content-Transfer-Encoding is forbidden")
  end
  if message.kind == "command" and rule then
    for _, name in ipairs(rule.needs or {}) do
      if (value_of(message, name) or "") == "" then
        say("%s needs %s", message.method, name)
      end
    end
    if message.method == "unsubscribe-notify" and not (counts.Watcher or counts.Subscription) then
      say("unsubscribe-notify needs Watcher or Subscription")
    end
  end
  if message.kind == "error" and not counts["Error-Type"] then
    say("an error needs Error-Type")
  end
  local payload = rule and (message.kind == "command" and rule.payload or message.kind == "ok" and rule.ok_payload) or "no"
  if message.kind == "error" then
    payload = value_of(message, "Error-Type") == "sasl-challenge" and "must" or "no"
  end
  if rule and payload == "must" and not message.has_payload then
    say("%s needs a payload", message.kind == "command" and message.method or "this response to " .. message.method)
  elseif rule and payload == "no" and message.has_payload then
    say("%s has no payload", message.kind == "command" and message.method or "this response to " .. message.method)
  end
  return found
end

local function transfer_fields(abbr)
  local f = matching_fields(abbr)
  f.mech = ProtoField.string(abbr .. ".mech", "Mechanism offered")
  f.nop = ProtoField.none(abbr .. ".nop", "No operation")
  f.start = ProtoField.string(abbr .. ".start", "Start line")
  f.kind = ProtoField.string(abbr .. ".kind", "Kind")
  f.id = ProtoField.string(abbr .. ".id", "Id")
  f.method = ProtoField.string(abbr .. ".method", "Method")
  f.status = ProtoField.string(abbr .. ".status", "Status")
  f.header = ProtoField.string(abbr .. ".header", "Header", base.UNICODE)
  f.unknown = ProtoField.string(abbr .. ".header.unknown", "Header without a meaning here", base.UNICODE)
  f.payload = ProtoField.bytes(abbr .. ".payload", "Payload")
  f.payload_length = ProtoField.uint64(abbr .. ".payload.length", "Payload's length")
  f.payload_type = ProtoField.string(abbr .. ".payload.type", "Payload's type")
  f.sasl = ProtoField.string(abbr .. ".sasl", "SASL")
  f.sasl_mechanism = ProtoField.string(abbr .. ".sasl.mechanism", "Mechanism")
  f.sasl_step = ProtoField.string(abbr .. ".sasl.step", "Step")
  f.sasl_message = ProtoField.string(abbr .. ".sasl.message", "Message")
  f.sasl_attribute = ProtoField.string(abbr .. ".sasl.attribute", "Attribute")
  f.sasl_user = ProtoField.string(abbr .. ".sasl.user", "User")
  f.sasl_authzid = ProtoField.string(abbr .. ".sasl.authzid", "Authorization identity")
  f.sasl_outcome = ProtoField.string(abbr .. ".sasl.outcome", "Outcome")
  for _, name in ipairs(HEADERS) do
    local make = name == "Content-Length" and ProtoField.uint64 or ProtoField.string
    f[name] = make(abbr .. "." .. name:lower():gsub("-", "_"), name)
  end
  return f
end

local SCRAM_ATTRIBUTES = {
  a = "authorization identity", n = "user", r = "nonce", c = "channel binding", p = "proof", v = "server's signature",
  s = "salt", i = "iterations", m = "extension", e = "error",
}
local SCRAM_MESSAGES = {
  { "client-first-message", "^[nyp][^,]*,[^,]*,n=" }, { "server-first-message", "^r=.*,s=.*,i=" },
  { "client-final-message", "^c=.*,p=" }, { "server-final-message", "^[ve]=" },
}

--- The parts of a token of SASL, as far as they are readable.
local function show_token(tree, f, experts, mechanism, from_client, range)
  local token = range:raw()
  if mechanism:find("^SCRAM%-") then
    for _, known in ipairs(SCRAM_MESSAGES) do
      if token:find(known[2]) then
        tree:add(f.sasl_message, range, known[1])
      end
    end
    local binding, rest = token:match("^([nyp][^,]*),(.*)$")
    if binding then
      tree:add(f.sasl_attribute, range, binding):append_text(" (channel binding)")
    end
    for letter, value in ("," .. (rest or token)):gmatch(",(%a)=([^,]*)") do
      tree:add(f.sasl_attribute, range, letter .. "=" .. value):append_text(" (" .. (SCRAM_ATTRIBUTES[letter] or "unknown") .. ")")
      if letter == "n" then
        tree:add(f.sasl_user, range, (value:gsub("=2C", ","):gsub("=3D", "=")))
      end
    end
  elseif mechanism == "PLAIN" and from_client then
    local authzid, user = token:match("^([^\0]*)\0([^\0]*)\0")
    if user then
      tree:add(f.sasl_user, range, user)
      if authzid ~= "" then
        tree:add(f.sasl_authzid, range, authzid)
      end
      tree:add_proto_expert_info(experts.secret, "PLAIN: the password stands in the payload")
    end
  elseif mechanism == "EXTERNAL" and from_client then
    tree:add(f.sasl_authzid, range, token)
  end
end

--- The step of the exchange that a message is; the mechanism is kept with the request.
local function sasl_step(message, request)
  if message.kind == "command" then
    if value_of(message, "Mechanism") then
      return "begin"
    end
    return value_of(message, "Abort") and "abort" or "continue"
  elseif message.kind == "ok" then
    return request and request.aborts and "aborted" or "success"
  end
  local kind = value_of(message, "Error-Type")
  return kind == "sasl-challenge" and "challenge" or "failure"
end

--- One of the two protocols.
local function transfer(name, description, ports, alpn)
  local protocol = Proto(alpn, description)
  local abbr = alpn
  local f, experts, memory, exchanges = transfer_fields(abbr), expert_fields(abbr), new_memory(), {}
  local list, known = {}, {}
  for _, field in pairs(f) do
    list[#list + 1] = field
  end
  local expert_list = {}
  for _, field in pairs(experts) do
    expert_list[#expert_list + 1] = field
  end
  protocol.fields, protocol.experts = list, expert_list
  for _, header in ipairs(HEADERS) do
    known[header] = true
  end

  local function show_sasl(tree, pinfo, message, request, payload)
    local from_client = message.kind == "command"
    local key = connection(pinfo)
    if from_client and request and not pinfo.visited and not request.mechanism then
      local begins = value_of(message, "Mechanism")
      exchanges[key] = begins and begins:upper() or exchanges[key]
      request.mechanism, request.aborts = exchanges[key] or "unknown", value_of(message, "Abort") ~= nil
    end
    local mechanism = request and request.mechanism or "unknown"
    local step = sasl_step(message, request)
    if step == "success" and not pinfo.visited then
      exchanges[key] = "ended"
    end
    local sasl = generated(tree:add(f.sasl, mechanism .. ", " .. step))
    generated(sasl:add(f.sasl_mechanism, mechanism))
    generated(sasl:add(f.sasl_step, step))
    if step == "success" or step == "failure" or step == "aborted" then
      generated(sasl:add(f.sasl_outcome, step))
    end
    if payload then
      show_token(sasl, f, experts, mechanism, from_client, payload)
    end
    return mechanism .. " " .. step
  end

  local function show_headers(tree, range, octets, at, message)
    for _, header in ipairs(message.headers) do
      local place = range(header.from - at, header.to - header.from + 1)
      local item = tree:add(f.header, place, header.name .. ": " .. header.value)
      if header.name == "Content-Length" then
        item:add(f[header.name], place, UInt64.new(tonumber(header.value) or 0))
      elseif known[header.name] then
        item:add(f[header.name], place, header.value)
      elseif header.name == "AStrength" then
        item:add(f.Astrength, place, header.value)
      else
        item:add(f.unknown, place, header.name)
      end
    end
  end

  local function show_payload(tree, pinfo, message, range)
    local item = tree:add(f.payload, range)
    item:set_text("Payload: " .. message.length .. " octets")
    local kind = value_of(message, "Content-Type")
    if message.method ~= "auth" then
      kind = (kind or "") ~= "" and kind or DEFAULT_TYPES[name]
      generated(item:add(f.payload_type, range, kind))
      show_media(kind, range:tvb(), pinfo, item)
    end
  end

  --- Who does what to whom, for the column.
  local function parties(message)
    local from = value_of(message, "Sender") or value_of(message, "Watcher") or value_of(message, "Subscription")
    local to = value_of(message, "Inbox") or value_of(message, "Presentity")
    local mapping = value_of(message, "Mapping")
    local text = from and to and (" " .. from .. " -> " .. to) or (to or from) and (" " .. (to or from)) or ""
    return text .. (mapping and " #" .. mapping or "")
  end

  local function show_command_or_response(tree, pinfo, range, octets, at, message)
    local is_request = message.kind == "command"
    local what = (is_request and ">" or "<") .. message.id .. " " .. (is_request and message.method or message.kind .. " (" .. message.method .. ")")
    local start = tree:add(f.start, range(0, #message.line), message.line)
    start:add(f.kind, range(0, 1), message.kind)
    start:add(f.id, range(1, #message.id), message.id)
    start:add(f.method, range(message.line:find(message.method, #message.id + 2, true) - 1, #message.method), message.method)
    if not is_request then
      start:add(f.status, range(0, #message.line), message.kind)
    end
    show_headers(tree, range, octets, at, message)
    -- Wireshark has no ranges of no octets at the end of a frame: what is empty is a length alone.
    local payload = message.has_payload and message.length > 0 and range(message.body - at, message.length)
    if message.has_payload then
      local length = UInt64.new(message.length)
      generated(tree:add(f.payload_length, payload or range(message.body - at - 2, 2), length))
    end
    if payload then
      show_payload(tree, pinfo, message, payload)
    end
    local request = matched(memory, pinfo, message.id, is_request, message.method)
    add_match(tree, f, experts, pinfo, request, is_request)
    for _, wrong in ipairs(violations(message, name)) do
      tree:add_proto_expert_info(experts.violation, wrong)
    end
    if request and not is_request and request.what ~= message.method then
      tree:add_proto_expert_info(experts.violation, "The request was " .. request.what .. ", the response names " .. message.method)
    end
    local told = ""
    if message.kind == "error" then
      local kind, why = value_of(message, "Error-Type") or "?", value_of(message, "Error-Description")
      told = " " .. kind
      if kind ~= "sasl-challenge" then
        tree:add_proto_expert_info(experts.refused, kind .. (why and ": " .. why or ""))
      end
    end
    if message.method == "auth" then
      told = told .. " " .. show_sasl(tree, pinfo, message, request, payload)
    elseif is_request then
      told = parties(message)
    end
    tree:set_text(name .. ", " .. what .. told)
    return what .. told
  end

  function protocol.init()
    memory, exchanges = new_memory(), {}
  end

  function protocol.dissector(tvb, pinfo, root)
    local read
    local function measure(octets, at)
      local size, lacking, wrong, message = read_message(octets, at)
      read = message
      return size, lacking, wrong
    end
    local function show(range, octets, at, size)
      if read.kind == "empty" then
        return
      end
      local tree = root:add(protocol, range)
      if read.kind == "mech" then
        -- The list comes at the beginning, where only an early `auth` may wait, and once more after a success.
        if exchanges[connection(pinfo)] ~= "ended" then
          forget(memory, pinfo, function(request) return request.what ~= "auth" end)
        elseif not pinfo.visited then
          exchanges[connection(pinfo)] = nil
        end
        for mechanism in read.names:gmatch("[^ \t]+") do
          tree:add(f.mech, range, mechanism)
        end
        tree:set_text(name .. ", mechanisms:" .. read.names)
        return "=mech" .. read.names
      elseif read.kind == "nop" then
        tree:add(f.nop, range)
        if read.word ~= "nop" then
          tree:add_proto_expert_info(experts.violation, "=" .. read.word .. " has no meaning")
        end
        tree:set_text(name .. ", =" .. read.word)
        return "=" .. read.word
      end
      return show_command_or_response(tree, pinfo, range, octets, at, read)
    end
    return dissect_stream(protocol, tvb, pinfo, root, experts, measure, show)
  end

  serve(protocol, ports, alpn)
end

transfer("IMTP", "Instant Message Transfer Protocol", "4687", "imtp")
transfer("PITP", "Presence Information Transfer Protocol", "7487", "pitp")

-- ---------------------------------------------------------------------------------------------------------
-- SIMP 1.0: two streams of XML
-- ---------------------------------------------------------------------------------------------------------

-- What each action must have, besides its id.
local ACTIONS = {
  send = { "to", "from", "type", "body" },
  fetch = { "to", "from" },
  subscribe = { "to", "from", "duration" },
  unsubscribe = { "to", "from", "opaque" },
  inquire = { "to", "from" },
  ["note change"] = { "to", "from", "regarding", "status", "message" },
  ["note subscription end"] = { "to", "from", "regarding", "status", "message" },
  login = { "user" },
  connect = { "authorization", "opaque", "version" },
  ["get profile"] = {}, ["set profile"] = {}, ["get acl"] = {}, ["set acl"] = {},
  ["drop subscription"] = { "subscriber" },
  ["note subscription"] = { "subscriber" },
  ["note subscription lapse"] = { "subscriber" },
  divert = { "nonce", "opaque", "algorithm", "host", "port" },
  okay = { "message" },
  error = { "message" },
  describe = { "regarding", "status", "message" },
  challenge = { "nonce", "opaque", "algorithm", "min version", "max version", "host", "port" },
  self = {},
}
local ONE_WAY = { ["note subscription"] = true, ["note subscription lapse"] = true, divert = true }
local REPLIES = { okay = true, error = true, describe = true, challenge = true, self = true }
local KEYS = {
  "action", "request", "response", "to", "from", "reply to", "regarding", "subscriber", "type", "body", "message",
  "status", "online", "duration", "opaque", "user", "nonce", "algorithm", "algorithms", "min version", "max version",
  "host", "port", "authorization", "version",
}

local simp = Proto("simp", "Simple Instant Messaging and Presence")
local s = matching_fields("simp")
local simp_experts = expert_fields("simp")
local simp_memory, challenges = new_memory(), {}
s.entry = ProtoField.string("simp.entry", "Entry", base.UNICODE)
s.key = ProtoField.string("simp.key", "Key", base.UNICODE)
s.value = ProtoField.string("simp.value", "Value", base.UNICODE)
s.opening = ProtoField.string("simp.stream", "Stream")
s.challenge_in = ProtoField.framenum("simp.challenge_in", "Challenge in frame", base.NONE, frametype.REQUEST)
for _, key in ipairs(KEYS) do
  s["key " .. key] = ProtoField.string("simp." .. key:gsub(" ", "_"), "Value of " .. key, base.UNICODE)
end
do
  local fields, experts = {}, {}
  for _, field in pairs(s) do
    fields[#fields + 1] = field
  end
  for _, field in pairs(simp_experts) do
    experts[#experts + 1] = field
  end
  simp.fields, simp.experts = fields, experts
end

--- A character of Unicode in UTF-8.
local function utf8_of(code)
  local function tail(n)
    return string.char(0x80 + math.floor(code / 64 ^ n) % 64)
  end
  if code < 0x80 then
    return string.char(code)
  elseif code < 0x800 then
    return string.char(0xC0 + math.floor(code / 64)) .. tail(0)
  elseif code < 0x10000 then
    return string.char(0xE0 + math.floor(code / 4096)) .. tail(1) .. tail(0)
  elseif code < 0x110000 then
    return string.char(0xF0 + math.floor(code / 262144)) .. tail(2) .. tail(1) .. tail(0)
  end
  return "\239\191\189"
end

local NAMED = { amp = "&", lt = "<", gt = ">", quot = '"', apos = "'" }

--- Character data without its references.
local function unescaped(text)
  return (text:gsub("&(#?)([%w]+);", function(number, name)
    if number == "" then
      return NAMED[name]
    end
    local code = name:match("^x%x+$") and tonumber(name:sub(2), 16) or tonumber(name)
    return code and utf8_of(code)
  end))
end

--- The piece of markup at a place where `<` stands: where it ends, its kind (open, close, empty, data, other),
-- its name and attributes. nil if it is cut.
local function read_tag(octets, at)
  local function upto(prefix, closing, kind)
    if octets:sub(at, at + #prefix - 1) == prefix then
      local _, stop = octets:find(closing, at + #prefix, true)
      return true, stop, kind
    end
  end
  for _, form in ipairs({ { "<![CDATA[", "]]>", "data" }, { "<!--", "-->", "other" }, { "<?", "?>", "other" } }) do
    local found, stop, kind = upto(form[1], form[2], form[3])
    if found then
      return stop, kind
    end
  end
  local place = at + 1
  while true do
    local stop, _, mark = octets:find("([\"'>])", place)
    if not stop then
      return nil
    elseif mark == ">" then
      local text = octets:sub(at + 1, stop - 1)
      local slash, name, rest, closed = text:match("^(/?)([%w:_%-%.]*)(.-)(/?)$")
      return stop, slash == "/" and "close" or closed == "/" and "empty" or "open", name, rest
    end
    place = octets:find(mark, stop + 1, true)
    if not place then
      return nil
    end
    place = place + 1
  end
end

--- The unit of a stream at a place: white space, a declaration, the stream's own tags, or a whole properties
-- element. See `dissect_stream`; the fourth result says what it is.
local function read_unit(octets, at)
  local _, spaces = octets:find("^[ \t\r\n]+", at)
  if spaces then
    return spaces - at + 1, nil, nil, "space"
  elseif octets:sub(at, at) ~= "<" then
    return nil, nil, "this is not the beginning of an element"
  end
  local stop, kind, name = read_tag(octets, at)
  if not stop then
    return nil, nil, #octets - at > MAX_ELEMENT and "an element without an end" or nil
  elseif kind == "other" then
    return stop - at + 1, nil, nil, "declaration"
  elseif name == "stream" then
    return stop - at + 1, nil, nil, kind == "close" and "end" or "stream"
  elseif name ~= "properties" or kind == "close" then
    return nil, nil, "an element that no stream has"
  end
  while kind ~= "empty" and not (kind == "close" and name == "properties") do
    local next_at = octets:find("<", stop + 1, true)
    if not next_at then
      return nil, nil, #octets - at > MAX_ELEMENT and "an element without an end" or nil
    end
    stop, kind, name = read_tag(octets, next_at)
    if not stop then
      return nil, nil, #octets - at > MAX_ELEMENT and "an element without an end" or nil
    end
    kind = kind == "empty" and name ~= "properties" and "open" or kind
  end
  return stop - at + 1, nil, nil, "properties"
end

--- The entries of a properties element, in order: key, value, the place of the whole and of the text, and
-- whether the text stands there as it is.
local function read_entries(octets, at, size)
  local entries, current, place = {}, nil, at
  local last = at + size - 1
  while true do
    local tag_at = octets:find("<", place, true)
    if current and tag_at and tag_at > place then
      current.text = current.text .. unescaped(octets:sub(place, tag_at - 1))
    end
    if not tag_at or tag_at > last then
      return entries
    end
    local stop, kind, name, rest = read_tag(octets, tag_at)
    if not stop or stop > last then
      return entries
    end
    if kind == "data" and current then
      current.text = current.text .. octets:sub(tag_at + 9, stop - 3)
    elseif name == "entry" and kind ~= "close" then
      local _, key = rest:match("key%s*=%s*([\"'])(.-)%1")
      current = { key = key and unescaped(key), text = "", from = tag_at, to = stop, inner = stop + 1 }
      entries[#entries + 1] = current
      if kind == "empty" then
        current = nil
      end
    elseif name == "entry" and current then
      current.to, current.inner_to = stop, tag_at - 1
      current.plain = octets:sub(current.inner, current.inner_to) == current.text
      current = nil
    end
    place = stop + 1
  end
end

--- A value as people read it, for those that are times.
local function gloss(key, value)
  local milliseconds = value:match("^%-?%d+$") and tonumber(value)
  if not milliseconds then
    return ""
  elseif key == "online" then
    return " (" .. os.date("!%Y-%m-%dT%H:%M:%SZ", math.floor(milliseconds / 1000)) .. ")"
  elseif key == "duration" then
    return milliseconds < 0 and " (as long as may be)" or string.format(" (%.3f s)", milliseconds / 1000)
  end
  return ""
end

--- Octets of an entry's text for another dissector: as they stand in the frame if nothing is escaped.
local function octets_of(entry, range, at)
  if entry.plain and #entry.text > 0 then
    return range(entry.inner - at, #entry.text):tvb()
  end
  return #entry.text > 0 and ByteArray.new(entry.text, true):tvb("Value of " .. entry.key) or nil
end

--- What is against the protocol in a command: a list of sentences.
local function simp_violations(first, entries)
  local found, action = {}, first.action
  local counts = {}
  for _, entry in ipairs(entries) do
    if not entry.key then
      found[#found + 1] = "an entry without a key"
    else
      counts[entry.key] = (counts[entry.key] or 0) + 1
      if counts[entry.key] == 2 then
        found[#found + 1] = "more than one entry " .. entry.key
      end
    end
  end
  if not action then
    found[#found + 1] = "there is no action"
  elseif not ACTIONS[action] then
    found[#found + 1] = "there is no action " .. action .. " in SIMP 1.0"
  else
    for _, key in ipairs(ACTIONS[action]) do
      if not first[key] then
        found[#found + 1] = action .. " needs " .. key
      end
    end
    if REPLIES[action] and not first.response then
      found[#found + 1] = action .. " needs response"
    elseif not REPLIES[action] and not ONE_WAY[action] and not first.request then
      found[#found + 1] = action .. " needs request"
    end
  end
  return found
end

local function show_properties(tree, pinfo, range, octets, at, size)
  local entries, first = read_entries(octets, at, size), {}
  for _, entry in ipairs(entries) do
    if entry.key and first[entry.key] == nil then
      first[entry.key] = entry.text
    end
  end
  for _, entry in ipairs(entries) do
    local place = range(entry.from - at, entry.to - entry.from + 1)
    local key = entry.key or "?"
    local item = tree:add(s.entry, place, key .. ": " .. entry.text)
    item:add(s.key, place, key)
    local value = item:add(s["key " .. key] or s.value, place, entry.text)
    value:append_text(gloss(key, entry.text))
    local nested = key == "buddies" or key == "body" and (first.type or "text/plain")
    local inner = nested and octets_of(entry, range, at)
    if inner then
      show_media(nested == true and "text/xml" or nested, inner, pinfo, item)
    end
  end
  xml:call(range:tvb(), pinfo, tree)

  local is_reply = first.response ~= nil
  local id = first.response or first.request
  local what = first.action or "?"
  if id then
    local request = matched(simp_memory, pinfo, id, not is_reply, what)
    add_match(tree, s, simp_experts, pinfo, request, not is_reply)
    if is_reply and request then
      what = what .. " (" .. request.what .. ")"
    end
  end
  for _, wrong in ipairs(simp_violations(first, entries)) do
    tree:add_proto_expert_info(simp_experts.violation, wrong)
  end
  if first.action == "error" then
    tree:add_proto_expert_info(simp_experts.refused, first.message or "error")
  elseif (first.action == "challenge" or first.action == "divert") and first.opaque and not pinfo.visited then
    challenges[first.opaque] = challenges[first.opaque] or pinfo.number
  elseif first.action == "connect" and challenges[first.opaque or ""] then
    generated(tree:add(s.challenge_in, challenges[first.opaque]))
  end

  local told = what .. (id and " " .. id or "")
  if first.from and first.to then
    told = told .. " " .. first.from .. " -> " .. first.to
  elseif first.user or first.subscriber or first.regarding then
    told = told .. " " .. (first.user or first.subscriber or first.regarding)
  end
  tree:set_text("SIMP, " .. told)
  return told
end

function simp.init()
  simp_memory, challenges = new_memory(), {}
end

function simp.dissector(tvb, pinfo, root)
  local kind
  local function measure(octets, at)
    local size, lacking, wrong, what = read_unit(octets, at)
    kind = what
    return size, lacking, wrong
  end
  local function show(range, octets, at, size)
    if kind == "space" then
      return
    end
    local tree = root:add(simp, range)
    if kind == "properties" then
      return show_properties(tree, pinfo, range, octets, at, size)
    end
    if kind == "declaration" then
      forget(simp_memory, pinfo, function(_, is_own) return is_own end)
    end
    tree:add(s.opening, range, octets:sub(at, at + size - 1))
    tree:set_text("SIMP, " .. kind)
    return "[" .. kind .. "]"
  end
  return dissect_stream(simp, tvb, pinfo, root, simp_experts, measure, show)
end

serve(simp, "7467,7468", "simp/1.0")
