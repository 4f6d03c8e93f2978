%% Evaluated in the server once it runs: accounts, so many of each name, numbered from 0. All have one password
%% and one salt, so that the slow part of making keys is done once, here and in the generator. What a login costs
%% the server does not depend on it: it never does that part.
Keep = fun(Table) -> mnesia:change_table_copy_type(Table, node(), disc_copies) end,
%% In memory, with a copy on disk, instead of on disk only.
[Keep(Table) || Table <- [passwd, roster, roster_version], lists:member(Table, mnesia:system_info(tables))],
%% So many users watch the star.
Contact = fun(Of, With, Subscription) ->
    Owner = {Of, <<"@DOMAIN@">>},
    Jid = {With, <<"@DOMAIN@">>, <<>>},
    Key = {Of, <<"@DOMAIN@">>, Jid},
    mnesia:dirty_write({roster, Key, Owner, Jid, <<>>, Subscription, none, [], <<>>, []})
end,
Watch = fun(Number) ->
    User = list_to_binary("user" ++ integer_to_list(Number)),
    Contact(<<"star0">>, User, from),
    Contact(User, <<"star0">>, to)
end,
[Watch(Number) || Number <- lists:seq(0, @WATCHERS@ - 1)],
Keys = ejabberd_auth:password_to_scram(<<"@DOMAIN@">>, <<"benchmark-password">>),
Add = fun(Name, Number) ->
    User = list_to_binary(Name ++ integer_to_list(Number)),
    mnesia:dirty_write({passwd, {User, <<"@DOMAIN@">>}, Keys})
end,
[Add(Name, Number) || {Name, Count} <- [@ACCOUNTS@], Number <- lists:seq(0, Count - 1)].
