// Drives the Flight SQL door with Arrow's JDBC driver. Argument: host and port. The lake holds `enhanced.orders` with three rows;
// `ana` has the password `secret`, `bot` the token `tok-123456`.

import java.math.BigDecimal;
import java.sql.*;
import java.util.ArrayList;
import java.util.List;

public class FlightDoor {
    static void same(Object expected, Object found) {
        if (!expected.equals(found)) {
            throw new AssertionError("expected " + expected + ", found " + found);
        }
    }

    static void fails(String words, Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute(sql);
        } catch (SQLException error) {
            same(true, error.getMessage().contains(words));
            return;
        }
        throw new AssertionError("it was done: " + sql);
    }

    static List<String> column(ResultSet rows, int place) throws SQLException {
        List<String> all = new ArrayList<>();
        try (rows) {
            while (rows.next()) {
                all.add(rows.getString(place));
            }
        }
        return all;
    }

    public static void main(String[] args) throws Exception {
        String url = "jdbc:arrow-flight-sql://" + args[0] + "/?useEncryption=false";
        try (Connection connection = DriverManager.getConnection(url, "ana", "secret")) {
            DatabaseMetaData lake = connection.getMetaData();
            same("Laguna", lake.getDatabaseProductName());
            same(true, lake.isReadOnly());
            same("\"", lake.getIdentifierQuoteString());
            // Flight SQL's number of repeatable reads, which the driver gives as it is.
            same(3, lake.getDefaultTransactionIsolation());
            same(List.of("laguna"), column(lake.getCatalogs(), 1));
            same(true, column(lake.getSchemas(), 1).containsAll(List.of("enhanced", "raw")));
            same(List.of("orders"), column(lake.getTables(null, "enhanced", "%", new String[] {"TABLE"}), 3));
            same(
                List.of("id", "customer", "amount", "qty", "created_at", "day", "ok", "payload", "tags"),
                column(lake.getColumns(null, "enhanced", "orders", "%"), 4));
            same(List.of(), column(lake.getPrimaryKeys(null, "enhanced", "orders"), 4));
            String all = "SELECT id, customer, amount, created_at, day, ok, payload, tags FROM enhanced.orders ORDER BY id";
            try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(all)) {
                same(true, rows.next());
                same(1L, rows.getLong(1));
                same("c1", rows.getString(2));
                same(new BigDecimal("1.50"), rows.getBigDecimal(3));
                same(Date.valueOf("2026-01-01"), rows.getDate(5));
                same(false, rows.getBoolean(6));
                same("{\"a\":1,\"b\":\"x\"}", rows.getObject(7).toString());
                same(true, rows.next() && rows.next());
                same(true, rows.getString(2) == null && rows.wasNull());
                same(false, rows.next());
            }
            String some = "SELECT id FROM enhanced.orders WHERE id > ? AND customer = ?";
            try (PreparedStatement prepared = connection.prepareStatement(some)) {
                for (String customer : new String[] {"c2", "c1", "c2"}) {
                    prepared.setLong(1, 1);
                    prepared.setString(2, customer);
                    same(customer.equals("c2") ? List.of("2") : List.of(), column(prepared.executeQuery(), 1));
                }
            }
            fails("there is no column `nope` (line 1, column 8)", connection, "SELECT nope FROM enhanced.orders");
            fails("cannot change the lake", connection, "DROP TABLE enhanced.orders");
        }
        try (Connection connection = DriverManager.getConnection(url + "&token=tok-123456");
            Statement statement = connection.createStatement()) {
            same(List.of("3"), column(statement.executeQuery("SELECT count(*) FROM enhanced.orders"), 1));
        }
        try (Connection connection = DriverManager.getConnection(url, "ana", "wrong")) {
            throw new AssertionError("a wrong password came in");
        } catch (SQLException error) {
            same(true, error.getMessage().contains("the login was refused"));
        }
    }
}
