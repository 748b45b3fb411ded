create table lunacast_posts (
  id integer primary key autoincrement,
  user_id integer not null references lunacast_users (id) on delete cascade,
  title text not null,
  body text not null,
  version integer not null default 1,
  created_at text not null,
  updated_at text not null
);
create index lunacast_posts_user_id on lunacast_posts (user_id, id);
create index lunacast_posts_created_at on lunacast_posts (created_at);
