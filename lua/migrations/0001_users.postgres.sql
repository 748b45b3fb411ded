create table lunacast_users (
  id bigint generated always as identity primary key,
  username text not null,
  email text,
  email_key text,
  created_at timestamptz not null,
  constraint lunacast_users_username unique (username),
  constraint lunacast_users_email unique (email_key)
);
