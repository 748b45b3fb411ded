/* URLs that may be asked for, and the addresses that they may lead to. */
#include "address_rule.h"
#include "url.h"
#include <arpa/inet.h>
#include <netinet/in.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static bool parse(const char *text, url_parts *url)
{
    const char *why = NULL;
    bool good = url_parse(slice_of(text), url, &why);
    assert_true(good == (why == NULL));
    return good;
}

static void expect(const char *text, const char *host, int port, const char *target)
{
    url_parts url;
    assert_true(parse(text, &url));
    assert_true(slice_eq(url.host, slice_of(host)));
    assert_int_equal(url.port, port);
    assert_true(slice_eq(url.target, slice_of(target)));
}

static void a_url_is_taken_apart(void **state)
{
    (void)state;
    expect("http://a.example", "a.example", 80, "");
    expect("HTTPS://a.example/b?c=d#e", "a.example", 443, "/b?c=d");
    expect("http://a_b-c.d:8080?x", "a_b-c.d", 8080, "?x");
    expect("http://[::1]:9/", "::1", 9, "/");
    expect("http://127.0.0.1:65535/", "127.0.0.1", 65535, "/");
    expect("http://a#b", "a", 80, "");
}

static void a_url_that_two_readers_could_read_in_two_ways_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "a",
        "/a",
        "http:",
        "http://",
        "http:///a",
        "ftp://a",
        "http://a:",
        "http://a:0",
        "http://a:65536",
        "http://a:1x",
        "http://a:-1",
        "http://u@a",
        "http://u:p@a/",
        "http://a\\@b/",
        "http://a%2eb/",
        "http://a b/",
        "http://a\tb",
        "http://a/\x7f",
        "http://a/\xc3\xa4",
        "http://[::1",
        "http://[::1]x",
        "http://[a]",
        "http://[1.2.3.4]/",
        "http://[fe80::1%25eth0]/",
        "http://a,b/",
        "http://a;b/",
        "http://:80/",
        "http://a::80/",
    };
    url_parts url;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (parse(bad[i], &url))
            fail_msg("\"%s\" was taken", bad[i]);
    }
    char longest[300] = "http://";
    memset(longest + 7, 'a', 254);
    assert_false(parse(longest, &url));
    longest[7 + 253] = '\0';
    assert_true(parse(longest, &url));
}

static void a_target_is_a_path_of_printable_bytes(void **state)
{
    (void)state;
    assert_true(url_valid_target(SLICE("/")));
    assert_true(url_valid_target(SLICE("/a?b=%20")));
    assert_false(url_valid_target(SLICE("")));
    assert_false(url_valid_target(SLICE("a")));
    assert_false(url_valid_target(SLICE("/a b")));
    assert_false(url_valid_target(SLICE("/a\r\nX: y")));
    assert_false(url_valid_target(SLICE("/a#b")));
    assert_false(url_valid_target(SLICE("/\0")));
}

static const struct sockaddr *address(const char *text)
{
    static struct sockaddr_in v4;
    static struct sockaddr_in6 v6;
    v4 = (struct sockaddr_in){.sin_family = AF_INET};
    v6 = (struct sockaddr_in6){.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
        return (struct sockaddr *)&v4;
    if (inet_pton(AF_INET6, text, &v6.sin6_addr) != 1)
        fail_msg("%s is no address", text);
    return (struct sockaddr *)&v6;
}

static void addresses_of_this_machine_and_its_networks_are_internal(void **state)
{
    (void)state;
    static const char *const internal[] = {"0.0.0.0",
                                           "0.1.2.3",
                                           "10.0.0.1",
                                           "10.255.255.255",
                                           "100.64.0.1",
                                           "100.127.255.255",
                                           "127.0.0.1",
                                           "127.255.255.254",
                                           "169.254.169.254",
                                           "172.16.0.1",
                                           "172.31.255.255",
                                           "192.0.0.1",
                                           "192.0.2.1",
                                           "192.168.0.1",
                                           "198.18.0.1",
                                           "198.19.255.255",
                                           "203.0.113.9",
                                           "224.0.0.1",
                                           "255.255.255.255",
                                           "::",
                                           "::1",
                                           "::7f00:1",
                                           "::ffff:127.0.0.1",
                                           "::ffff:10.0.0.1",
                                           "64:ff9b::7f00:1",
                                           "64:ff9b:1::1",
                                           "100::1",
                                           "2001::1",
                                           "2001:db8::1",
                                           "2002:7f00:1::",
                                           "fc00::1",
                                           "fd12::1",
                                           "fe80::1",
                                           "febf::1",
                                           "fec0::1",
                                           "ff02::1"};
    static const char *const public[] = {"1.1.1.1",         "9.255.255.255",   "11.0.0.0",
                                         "100.63.255.255",  "100.128.0.0",     "126.255.255.255",
                                         "128.0.0.1",       "169.253.255.255", "169.255.0.0",
                                         "172.15.255.255",  "172.32.0.0",      "192.167.255.255",
                                         "192.169.0.0",     "198.17.255.255",  "198.20.0.0",
                                         "223.255.255.255", "::ffff:1.1.1.1",  "2606:4700::1111",
                                         "2a00::1",         "2001:4860::8888", "fbff::1"};
    for (size_t i = 0; i < sizeof internal / sizeof *internal; i++) {
        if (!address_is_internal(address(internal[i])))
            fail_msg("%s passes", internal[i]);
    }
    for (size_t i = 0; i < sizeof public / sizeof *public; i++) {
        if (address_is_internal(address(public[i])))
            fail_msg("%s does not pass", public[i]);
    }
}

static bool in(const char *range_text, const char *text)
{
    address_range range;
    assert_true(address_range_parse(slice_of(range_text), &range));
    uint8_t bytes[ADDRESS_BYTES];
    assert_true(address_parse(slice_of(text), bytes));
    return address_in_range(bytes, &range);
}

static void a_range_is_an_address_with_a_prefix(void **state)
{
    (void)state;
    assert_true(in("10.1.0.0/16", "10.1.255.1"));
    assert_false(in("10.1.0.0/16", "10.2.0.1"));
    assert_true(in("10.1.0.0/16", "::ffff:10.1.0.1"));
    assert_true(in("127.0.0.1", "127.0.0.1"));
    assert_false(in("127.0.0.1", "127.0.0.2"));
    assert_true(in("fd00::/9", "fd7f::1"));
    assert_false(in("fd00::/9", "fd80::1"));
    assert_true(in("0.0.0.0/0", "8.8.8.8"));
    assert_false(in("0.0.0.0/0", "2a00::1"));
    address_range range;
    static const char *const bad[] = {
        "", "a", "1.2.3", "1.2.3.4/", "1.2.3.4/33", "::/129", "1.2.3.4/-1", "1.2.3.4/1x", "127.1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(address_range_parse(slice_of(bad[i]), &range));
}

static void a_client_is_an_address_of_ipv4_or_a_64_of_ipv6(void **state)
{
    (void)state;
    static const char *const rows[][2] = {{"1.2.3.4", "1.2.3.4"},
                                          {"::ffff:1.2.3.4", "1.2.3.4"},
                                          {"::ffff:102:304", "1.2.3.4"},
                                          {"2001:db8::1", "2001:db8::"},
                                          {"2001:DB8:1:2:3:4:5:6", "2001:db8:1:2::"},
                                          {"64:ff9b::1.2.3.4", "64:ff9b::"},
                                          {"::1", "::"}};
    static const char *const bad[] = {
        "",        "1.2.3", "1.2.3.256",         "1.2.3.4.5",         "a.b.c.d", "::1::",
        "12345::", ":::",   "1:2:3:4:5:6:7:8:9", "::1:2:3:4:5:6:7:8", "unknown", "1.2.3.4:80",
        "[::1]",   "g::",   "1:2:3:4:5:6:7"};
    uint8_t bytes[ADDRESS_BYTES];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[ADDRESS_TEXT];
        assert_true(address_parse(slice_of(rows[i][0]), bytes));
        address_network(bytes);
        address_print(bytes, text);
        assert_string_equal(text, rows[i][1]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (address_parse(slice_of(bad[i]), bytes))
            fail_msg("%s passes", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_url_is_taken_apart),
        cmocka_unit_test(a_url_that_two_readers_could_read_in_two_ways_is_refused),
        cmocka_unit_test(a_target_is_a_path_of_printable_bytes),
        cmocka_unit_test(addresses_of_this_machine_and_its_networks_are_internal),
        cmocka_unit_test(a_range_is_an_address_with_a_prefix),
        cmocka_unit_test(a_client_is_an_address_of_ipv4_or_a_64_of_ipv6),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
