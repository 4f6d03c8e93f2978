-- Fills the stores of accounts and rosters, which are in memory, at the start: so many users of each name, numbered from 0.
-- All have one password and one salt, so that the slow part of making keys is done once, here and in the
-- generator. What a login costs the server does not depend on it: it never does that part.
local hash = module:get_option_string("password_hash", "SHA-1");
local iterations = module:get_option_number("default_iteration_count", 10000);
local to_hex = require "util.hex".encode;
local make_keys = require "util.sasl.scram".hashers[hash];

local salt = "benchmark-salt";
local accounts = module:open_store("accounts");
local valid, stored_key, server_key = make_keys("benchmark-password", salt, iterations);
assert(valid, stored_key);

local function add(user)
	accounts:set(user, {
		stored_key = to_hex(stored_key), server_key = to_hex(server_key), salt = salt, iteration_count = iterations
	});
end

for name, count in pairs(module:get_option("bench_accounts", {})) do
	for index = 0, count - 1 do
		add(name .. index);
	end
end

-- So many users watch the star.
local watchers = module:get_option_number("bench_watchers", 0);
if watchers > 0 then
	local rosters = module:open_store("roster");
	local function contact(subscription)
		return { subscription = subscription, groups = {} };
	end
	local of_star = {};
	for index = 0, watchers - 1 do
		of_star["user" .. index .. "@" .. module.host] = contact("from");
		rosters:set("user" .. index, { ["star0@" .. module.host] = contact("to") });
	end
	rosters:set("star0", of_star);
end
